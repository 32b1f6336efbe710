using System.Net;
using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>
/// Uses the guest's network once in every way before the golden snapshot is taken: a name is asked for and a connection tried, over IPv4 and
/// IPv6, both of which the network's loop turns down as there is no host yet.
/// </summary>
/// <remarks>
/// On its first use the kernel's network code makes its random keys (get_random_once) and then rewrites its own instructions in place, so that
/// it need not ask for them again. QEMU before 8.1 translates code without holding the lock of its page, so that under TCG a second vCPU can
/// keep the translation of an instruction that has just been rewritten: both vCPUs then run into the breakpoint that is no longer there, for
/// ever (fixed there by "accel/tcg: Always lock pages before translation"). It was met in about one of forty sandboxes whose first act was to
/// ask for a name. What has been rewritten in the golden snapshot is not rewritten in a sandbox. The keys being the same in all sandboxes of
/// a snapshot is of no use to anybody: no packet ever leaves its guest.
/// </remarks>
internal static class NetworkWarmUp
{
    private const int DeadlineMilliseconds = 5_000;
    private const int HttpPort = 80;
    private const int NameServerPort = 53;
    private const int Rounds = 2;

    private static readonly IPAddress[] s_anywhere = [IPAddress.Parse("192.0.0.1"), IPAddress.Parse("fd00::1")];

    // A question for the addresses of the root: the smallest there is.
    private static readonly byte[] s_query = [0x57, 0x55, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1];

    /// <summary>Runs it; the network's loop is running already. What fails is logged: the paths report their own errors when they are used.</summary>
    internal static void Run()
    {
        for (int i = 0; i < Rounds; i++)
        {
            foreach (IPAddress address in s_anywhere)
            {
                AskForName(address);
                Connect(SocketAddress.From(address, HttpPort));
                Connect(SocketAddress.From(address, NameServerPort));
            }
        }
    }

    private static void AskForName(IPAddress server)
    {
        byte[] address = SocketAddress.From(server, NameServerPort);
        int socket = GuestException.Check(
            Libc.Socket(SocketAddress.Family(address), Linux.SOCK_DGRAM | Linux.SOCK_CLOEXEC | Linux.SOCK_NONBLOCK, 0), "socket");
        byte[] answer = new byte[512];
        byte[] from = new byte[SocketAddress.MaxSize];
        uint length = (uint)from.Length;
        if (Libc.SendTo(socket, s_query, (nuint)s_query.Length, 0, address, (uint)address.Length) != s_query.Length
            || !Wait(socket, Linux.POLLIN)
            || Libc.RecvFrom(socket, answer, (nuint)answer.Length, 0, from, ref length) < s_query.Length)
        {
            KernelConsole.WriteLine($"opensandbox-agent: network warm-up: no answer to a query for a name by way of {server}");
        }

        _ = Libc.Close(socket);
    }

    private static void Connect(byte[] address)
    {
        int socket = GuestException.Check(
            Libc.Socket(SocketAddress.Family(address), Linux.SOCK_STREAM | Linux.SOCK_CLOEXEC | Linux.SOCK_NONBLOCK, 0), "socket");

        // The loop resets the connection, or for the name server's port waits for a query: its end of that one goes with this one.
        _ = Libc.Connect(socket, address, (uint)address.Length);
        if (!Wait(socket, Linux.POLLOUT))
        {
            KernelConsole.WriteLine("opensandbox-agent: network warm-up: a connection is not redirected");
        }

        SocketAddress.SetReset(socket);
        _ = Libc.Close(socket);
    }

    private static bool Wait(int socket, short what)
    {
        var poll = new PollFd { Fd = socket, Events = what };
        return Libc.Poll(ref poll, 1, DeadlineMilliseconds) == 1;
    }
}
