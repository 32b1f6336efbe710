using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

/// <summary>struct pollfd.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct PollFd
{
    /// <summary>The descriptor.</summary>
    internal int Fd;

    /// <summary>What to wait for.</summary>
    internal short Events;

    /// <summary>What happened.</summary>
    internal short Returned;
}
