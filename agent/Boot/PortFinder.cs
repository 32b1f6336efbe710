using System.Text;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// Finds the agent's virtio-serial ports by name. A port and its name appear some time after the driver was loaded; the kernel
/// announces both on a netlink socket, which is what is waited for.
/// </summary>
internal sealed class PortFinder : IDisposable
{
    private const int DeadlineMilliseconds = 15_000;
    private const string ClassDirectory = "/sys/class/virtio-ports";

    /// <summary>Begun before the drivers are loaded, so that nothing is missed.</summary>
    private readonly KernelEvents _events = new();

    /// <summary>Waits until all ports are there.</summary>
    /// <returns>Their device nodes.</returns>
    /// <exception cref="GuestException">They did not appear in time.</exception>
    internal (string Control, string Bulk, string Network) WaitForPorts()
    {
        long deadline = ClockTicks.Milliseconds + DeadlineMilliseconds;
        while (true)
        {
            string? control = null;
            string? bulk = null;
            string? network = null;
            Scan(ref control, ref bulk, ref network);
            if (control is not null && bulk is not null && network is not null)
            {
                return (control, bulk, network);
            }

            long left = deadline - ClockTicks.Milliseconds;
            if (left <= 0)
            {
                throw GuestException.Coded(
                    AgentErrorCodes.Internal, "not all of "
                        + $"{ProtocolConstants.ControlPortName}, {ProtocolConstants.BulkPortName}, {ProtocolConstants.NetworkPortName} are there");
            }

            _events.Wait((int)left);
        }
    }

    /// <summary>Stops listening.</summary>
    public void Dispose() => _events.Dispose();

    private static void Scan(ref string? control, ref string? bulk, ref string? network)
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
            else if (text == ProtocolConstants.NetworkPortName)
            {
                network = "/dev/" + entry;
            }
        }

        _ = Libc.Close(directory);
    }
}
