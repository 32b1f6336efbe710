using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

/// <summary>struct open_how of openat2(2).</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct OpenHow
{
    /// <summary>O_* bits.</summary>
    internal ulong Flags;

    /// <summary>Permission bits of a new file; 0 unless one may be made.</summary>
    internal ulong Mode;

    /// <summary>RESOLVE_* bits.</summary>
    internal ulong Resolve;
}
