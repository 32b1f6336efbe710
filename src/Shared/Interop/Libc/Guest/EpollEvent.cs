using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

/// <summary>struct epoll_event of x86-64: packed, 12 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 4)]
internal struct EpollEvent
{
    /// <summary>EPOLL* bits.</summary>
    internal uint Events;

    /// <summary>What the caller registered.</summary>
    internal ulong Tag;
}
