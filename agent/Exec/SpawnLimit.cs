using System.Runtime.InteropServices;

namespace OpenSandbox.Agent;

/// <summary>struct osb_limit of native/spawn.c.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct SpawnLimit
{
    internal ulong Resource;
    internal ulong Soft;
    internal ulong Hard;
}
