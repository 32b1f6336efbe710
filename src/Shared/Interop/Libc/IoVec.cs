using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

/// <summary>struct iovec: one run of bytes of a message.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct IoVec
{
    /// <summary>First byte.</summary>
    internal void* Base;

    /// <summary>Length in bytes.</summary>
    internal nuint Length;
}
