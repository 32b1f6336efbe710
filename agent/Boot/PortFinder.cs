using System.Runtime.InteropServices;
using System.Text;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// Finds the agent's two virtio-serial ports by name. A port and its name appear some time after the driver was loaded; the kernel
/// announces both on a netlink socket, which is what is waited for.
/// </summary>
internal sealed class PortFinder : IDisposable
{
    private const int DeadlineMilliseconds = 15_000;
    private const string ClassDirectory = "/sys/class/virtio-ports";

    private readonly int _events;

    /// <summary>Starts listening. Do this before the drivers are loaded, so that nothing is missed.</summary>
    internal PortFinder()
    {
        _events = GuestException.Check(
            Libc.Socket(Linux.AF_NETLINK, Linux.SOCK_RAW | Linux.SOCK_CLOEXEC | Linux.SOCK_NONBLOCK, Linux.NETLINK_KOBJECT_UEVENT),
            "uevent socket");
        Span<byte> address = stackalloc byte[12]; // sockaddr_nl: family, padding, port id 0 (chosen by the kernel), group 1 (the kernel's events)
        address.Clear();
        address[0] = Linux.AF_NETLINK;
        address[8] = 1;
        _ = GuestException.Check(Libc.Bind(_events, address, (uint)address.Length), "uevent bind");
    }

    /// <summary>Waits until both ports are there.</summary>
    /// <returns>Their device nodes.</returns>
    /// <exception cref="GuestException">They did not appear in time.</exception>
    internal (string Control, string Bulk) WaitForPorts()
    {
        long deadline = ClockTicks.Milliseconds + DeadlineMilliseconds;
        Span<byte> message = stackalloc byte[8192];
        while (true)
        {
            string? control = null;
            string? bulk = null;
            Scan(ref control, ref bulk);
            if (control is not null && bulk is not null)
            {
                return (control, bulk);
            }

            long left = deadline - ClockTicks.Milliseconds;
            var poll = new PollFd { Fd = _events, Events = Linux.POLLIN };
            if (left <= 0 || Libc.Poll(ref poll, 1, (int)left) == 0)
            {
                throw GuestException.Coded(
                    AgentErrorCodes.Internal, $"no virtio-serial ports named {ProtocolConstants.ControlPortName} and {ProtocolConstants.BulkPortName}");
            }

            while (Libc.Read(_events, message, (nuint)message.Length) > 0)
            {
                // Only that something happened counts; what is there is read from /sys.
            }
        }
    }

    /// <summary>Stops listening.</summary>
    public void Dispose() => _ = Libc.Close(_events);

    private static void Scan(ref string? control, ref string? bulk)
    {
        int directory = Libc.Open(CString.From(ClassDirectory), Linux.O_RDONLY | Linux.O_DIRECTORY | Linux.O_CLOEXEC, 0);
        if (directory < 0)
        {
            return; // the class appears with the driver
        }

        Span<byte> name = stackalloc byte[256];
        foreach (string entry in DirectoryReader.Names(directory))
        {
            int length = SmallFile.Read(directory, CString.From(entry + "/name"), name);
            string text = length > 0 ? Encoding.ASCII.GetString(name[..length]).TrimEnd() : string.Empty;
            if (text == ProtocolConstants.ControlPortName)
            {
                control = "/dev/" + entry;
            }
            else if (text == ProtocolConstants.BulkPortName)
            {
                bulk = "/dev/" + entry;
            }
        }

        _ = Libc.Close(directory);
    }
}
