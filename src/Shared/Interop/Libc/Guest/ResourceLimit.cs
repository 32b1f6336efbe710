using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

/// <summary>struct rlimit.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ResourceLimit
{
    /// <summary>The limit in force.</summary>
    internal ulong Soft;

    /// <summary>What an unprivileged process may raise it to.</summary>
    internal ulong Hard;
}
