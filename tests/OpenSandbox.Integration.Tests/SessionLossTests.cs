using System.Net.Sockets;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Integration.Tests;

/// <summary>A host that comes back to a guest with a new session, as one does that was killed.</summary>
[Collection(HostFixture.Collection)]
public sealed partial class SessionLossTests(HostFixture fixture) : SandboxTests(fixture)
{
    private const int UnixFamily = 1;
    private const int NonblockingStream = 0x801;

    [SkippableFact]
    public async Task NewSession_DetachedProcessesGoOnWithTheirOutput_AttachedOnesEnd()
    {
        SandboxProcess detached = await Sandbox.StartAsync(
            "echo before; read line; echo $line; exit 7", new StartOptions { Detached = true }, Deadline());
        Assert.Equal("before\n", await ReadLineAsync(detached));
        SandboxProcess attached = await Sandbox.StartAsync(["sleep", "1040"], cancellationToken: Deadline());
        SandboxProcess silent = await Sandbox.StartAsync(["yes"], new StartOptions { Detached = true, Delivery = OutputDelivery.Lossless }, Deadline());

        await using GuestChannel channel = await ReconnectAsync();

        await using GuestStream ended = Open(channel, Operations.Wait, new ProcessRequest { Id = attached.Id });
        Assert.Equal(9, (await ended.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage, Deadline(20))).Signal);
        await using GuestStream again = Open(channel, Operations.Attach, new ProcessRequest { Id = detached.Id, Input = true });
        ProcessAttached head = (await again.GetStartedAsync(Deadline(20)))!.Process!;
        Assert.Equal((0, 7), (head.Sequence, head.ReplayEnd));
        Assert.True(await again.WriteAsync("after\n"u8.ToArray(), Deadline()));
        var output = new StringBuilder();
        byte[] buffer = new byte[1_000];
        int count;
        while ((count = (await again.ReadAsync(buffer, Deadline(20))).Count) > 0)
        {
            output.Append(Encoding.UTF8.GetString(buffer.AsSpan(0, count)));
        }

        Assert.Equal("before\nafter\n", output.ToString());
        Assert.Equal(7, (await again.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage, Deadline(20))).ExitCode);

        // The reader that held this one back is gone with its session.
        await ExecTests.UntilAsync(async () =>
        {
            await using GuestStream later = Open(channel, Operations.Log, new ProcessRequest { Id = silent.Id, Length = 1 });
            return (await later.GetResultAsync(ProtocolJsonContext.Default.ProcessLogResult, Deadline(20))).FirstAvailable > 10_000_000;
        });
    }

    private static GuestStream Open(GuestChannel channel, string operation, ProcessRequest process) =>
        channel.OpenStream(GuestPort.Bulk, new OpenRequest { Op = operation, Process = process });

    /// <summary>
    /// Takes the sandbox's sockets away from its channel, which then waits on idle ones, and opens a channel of its own on them.
    /// </summary>
    private async Task<GuestChannel> ReconnectAsync()
    {
        Socket control = Steal("_control");
        Socket bulk = Steal("_bulk");
        GuestChannel channel = GuestChannel.Open(control, bulk, new GuestChannelOptions { Epoch = 0x1234_5678_9ABC_DEF0, Reconnect = true });
        await channel.WaitForHelloAsync(Deadline(30));
        await using GuestStream resume = channel.OpenStream(GuestPort.Control, Fixture.Host.DescribeResume(Sandbox.Id, Sandbox.Spec, 0));
        await resume.GetResultAsync(ProtocolJsonContext.Default.ResumeResult, Deadline(30));
        return channel;
    }

    private Socket Steal(string port)
    {
        object session = Field(Sandbox.Channel, port);
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
