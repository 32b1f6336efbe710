using System.Net.Sockets;
using System.Reflection;
using System.Runtime.InteropServices;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Integration.Tests;

/// <summary>
/// Another host that comes to a guest whose first one has gone: takes the sockets away from a sandbox's channel, which then waits on idle
/// ones.
/// </summary>
internal static partial class SessionTakeover
{
    private const int UnixFamily = 1;
    private const int NonblockingStream = 0x801;

    /// <summary>Opens a channel of its own on the sandbox's sockets, Hello not waited for yet.</summary>
    internal static GuestChannel TakeOver(Sandbox sandbox, ulong epoch) => GuestChannel.Open(
        Steal(sandbox, "_control"),
        Steal(sandbox, "_bulk"),
        Steal(sandbox, "_network"),
        new GuestChannelOptions { Epoch = epoch, Reconnect = true });

    /// <summary>Takes the sockets of a channel that has none of the sandbox's own for the next one.</summary>
    internal static GuestChannel TakeOver(GuestChannel channel, ulong epoch) => GuestChannel.Open(
        Steal(channel, "_control"),
        Steal(channel, "_bulk"),
        Steal(channel, "_network"),
        new GuestChannelOptions { Epoch = epoch, Reconnect = true });

    /// <summary>Sends the resume of the channel's session and waits for its result.</summary>
    internal static async Task<ResumeResult> ResumeAsync(this GuestChannel channel, ResumeRequest request, CancellationToken cancellationToken)
    {
        await using GuestStream stream = channel.OpenStream(GuestPort.Control, new OpenRequest { Op = Operations.Resume, Resume = request });
        return await stream.GetResultAsync(ProtocolJsonContext.Default.ResumeResult, cancellationToken);
    }

    private static Socket Steal(Sandbox sandbox, string port) => Steal(sandbox.Channel, port);

    private static Socket Steal(GuestChannel channel, string port)
    {
        object session = Field(channel, port);
        var socket = (Socket)Field(session, "_socket");
        int descriptor = (int)socket.Handle;
        Assert.Equal(0, SocketPair(UnixFamily, NonblockingStream, 0, out Pair idle));
        int stolen = Dup(descriptor);
        Assert.True(stolen >= 0);
        Assert.Equal(descriptor, Dup2(idle.First, descriptor));
        return new Socket(new SafeSocketHandle(stolen, ownsHandle: true));
    }

    private static object Field(object owner, string name) =>
        owner.GetType().GetField(name, BindingFlags.Instance | BindingFlags.NonPublic)!.GetValue(owner)!;

    [LibraryImport("libc", EntryPoint = "dup")]
    private static partial int Dup(int descriptor);

    [LibraryImport("libc", EntryPoint = "dup2")]
    private static partial int Dup2(int from, int to);

    [LibraryImport("libc", EntryPoint = "socketpair")]
    private static partial int SocketPair(int domain, int type, int protocol, out Pair pair);

    [StructLayout(LayoutKind.Sequential)]
    private struct Pair
    {
        internal int First;
        internal int Second;
    }
}
