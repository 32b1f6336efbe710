using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>The kernel's announcements about devices (uevents), as something to wait for. What happened is read from /sys.</summary>
internal sealed class KernelEvents : IDisposable
{
    private readonly int _socket;

    /// <summary>Starts listening. Do this before what is waited for is set off or looked at, so that nothing is missed.</summary>
    internal KernelEvents()
    {
        _socket = GuestException.Check(
            Libc.Socket(Linux.AF_NETLINK, Linux.SOCK_RAW | Linux.SOCK_CLOEXEC | Linux.SOCK_NONBLOCK, Linux.NETLINK_KOBJECT_UEVENT),
            "uevent socket");
        Span<byte> address = stackalloc byte[12]; // sockaddr_nl: family, padding, port id 0 (chosen by the kernel), group 1 (the kernel's events)
        address.Clear();
        address[0] = Linux.AF_NETLINK;
        address[8] = 1;
        _ = GuestException.Check(Libc.Bind(_socket, address, (uint)address.Length), "uevent bind");
    }

    /// <summary>Waits for any announcement.</summary>
    /// <param name="milliseconds">The longest time to wait.</param>
    internal void Wait(int milliseconds)
    {
        var poll = new PollFd { Fd = _socket, Events = Linux.POLLIN };
        _ = Libc.Poll(ref poll, 1, milliseconds);
        Span<byte> message = stackalloc byte[8192];
        while (Libc.Read(_socket, message, (nuint)message.Length) > 0)
        {
            // Only that something happened counts.
        }
    }

    /// <summary>Stops listening.</summary>
    public void Dispose() => _ = Libc.Close(_socket);
}
