using System.Net.Sockets;
using System.Text;

namespace OpenSandbox.VirtioSerial.Tests;

/// <summary>Opening, Hello, ping, quiesce.</summary>
public sealed class GuestChannelSessionTests
{
    private const ulong Epoch = 0x1122_3344_5566_7788;

    [Fact]
    public async Task Open_PeerDoesNotReadYet_PreambleWelcomeAndOpenWaitInTheSocket()
    {
        (GuestChannel channel, AgentPeer peer) = AgentPeer.Open();
        await using (channel)
        await using (peer)
        {
            // Everything below was written before the peer took its first byte.
            await using GuestStream resume = channel.OpenStream(
                GuestPort.Control,
                new OpenRequest { Op = Operations.Resume, Resume = new ResumeRequest { EntropySeed = new byte[32], Hostname = "sb", WallClockNanoseconds = 1 } });
            await using GuestStream exec = channel.OpenStream(
                GuestPort.Bulk, new OpenRequest { Op = Operations.Exec, Exec = new ExecRequest { Argv = ["true"] } });

            Assert.Equal(new Preamble(Epoch, 1), await peer.ReceivePreambleAsync(GuestPort.Control));
            ReceivedFrame welcome = await peer.ReceiveAsync(GuestPort.Control);
            Assert.Equal(FrameType.Welcome, welcome.Type);
            Assert.Equal(1, welcome.Json(ProtocolJsonContext.Default.HostWelcome).Generation);
            ReceivedFrame open = await peer.ReceiveAsync(GuestPort.Control);
            Assert.Equal((FrameType.Open, 1u), (open.Type, open.StreamId));
            Assert.Equal("sb", open.Json(ProtocolJsonContext.Default.OpenRequest).Resume!.Hostname);

            await peer.ReceivePreambleAsync(GuestPort.Bulk);
            Assert.Equal("true", (await peer.ReceiveAsync(GuestPort.Bulk)).Json(ProtocolJsonContext.Default.OpenRequest).Exec!.Argv[0]);
        }
    }

    [Theory]
    [InlineData(0x1_0000_0000)]
    [InlineData(0xFFFF_FFFF)]
    public void Open_EpochWithAForbiddenTag_IsRefused(ulong epoch)
    {
        (Socket control, Socket controlPeer) = SocketPairs.Create();
        (Socket bulk, Socket bulkPeer) = SocketPairs.Create();
        using (control)
        using (controlPeer)
        using (bulk)
        using (bulkPeer)
        {
            Assert.Throws<ArgumentException>("options", () => GuestChannel.Open(control, bulk, new GuestChannelOptions { Epoch = epoch }));
            Assert.Throws<ArgumentOutOfRangeException>(
                "options", () => GuestChannel.Open(control, bulk, new GuestChannelOptions { Epoch = 1, AgentGeneration = 0 }));
            Assert.Throws<ArgumentOutOfRangeException>(
                "options", () => GuestChannel.Open(control, bulk, new GuestChannelOptions { Epoch = 1, MaxStreams = 0 }));
            Assert.True(control.Connected); // A refused call has not taken the sockets.
        }
    }

    [Fact]
    public async Task Open_Reconnect_SendsPaddingAheadOfThePreambleOnBothPorts()
    {
        (GuestChannel channel, AgentPeer peer) = AgentPeer.Open(new GuestChannelOptions { Epoch = Epoch, Reconnect = true });
        await using (channel)
        await using (peer)
        {
            foreach (GuestPort port in (GuestPort[])[GuestPort.Control, GuestPort.Bulk])
            {
                var bytes = new byte[ProtocolConstants.ReconnectPaddingSize + ProtocolConstants.PreambleSize];
                for (int count = 0; count < bytes.Length;)
                {
                    count += await peer.Socket(port).ReceiveAsync(bytes.AsMemory(count), SocketFlags.None).Within();
                }

                Assert.True(bytes.AsSpan(0, ProtocolConstants.ReconnectPaddingSize).IndexOfAnyExcept((byte)0) < 0);
                Assert.True(Preamble.TryRead(bytes.AsSpan(ProtocolConstants.ReconnectPaddingSize), out Preamble preamble));
                Assert.Equal(Epoch, preamble.Epoch);
            }
        }
    }

    [Fact]
    public async Task WaitForHello_OnlyOnePortAnswered_WaitsForTheOther()
    {
        (GuestChannel channel, AgentPeer peer) = AgentPeer.Open();
        await using (channel)
        await using (peer)
        {
            Task<AgentHello> hello = channel.WaitForHelloAsync();
            await peer.SendPreambleAsync(GuestPort.Control);
            await peer.SendHelloAsync();
            ValueTask<TimeSpan> ping = channel.PingAsync(default);
            await peer.SendAsync(GuestPort.Control, FrameType.Pong, 0, default);
            await ping.Within();
            Assert.False(hello.IsCompleted);

            await peer.SendPreambleAsync(GuestPort.Bulk);
            Assert.Equal("test", (await hello.Within()).AgentVersion);
        }
    }

    [Fact]
    public async Task WaitForHello_OldSessionsBytesFirst_AreDropped()
    {
        (GuestChannel channel, AgentPeer peer) = AgentPeer.Open();
        await using (channel)
        await using (peer)
        {
            foreach (GuestPort port in (GuestPort[])[GuestPort.Control, GuestPort.Bulk])
            {
                await peer.SendRawAsync(port, new byte[100_000]);
                await peer.SendPreambleAsync(port, Epoch - 1);
                await peer.SendAsync(port, FrameType.Data, 77, new byte[1_000]);
                await peer.SendPreambleAsync(port);
            }

            await peer.SendHelloAsync();
            await channel.WaitForHelloAsync().Within();
            Assert.Equal(0, channel.StrayFrames);
        }
    }

    [Fact]
    public async Task WaitForHello_Cancelled_ThrowsTheCallersCancellationAndTheChannelLives()
    {
        (GuestChannel channel, AgentPeer peer) = AgentPeer.Open();
        await using (channel)
        await using (peer)
        {
            using var cancellation = new CancellationTokenSource();
            Task<AgentHello> hello = channel.WaitForHelloAsync(cancellation.Token);
            await cancellation.CancelAsync();
            OperationCanceledException e = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => hello.Within());
            Assert.Equal(cancellation.Token, e.CancellationToken);

            await peer.HandshakeAsync();
            await channel.WaitForHelloAsync().Within();
        }
    }

    [Fact]
    public async Task Ping_ManyAtOnce_ComeBackInOrderWithTheirBytes()
    {
        (GuestChannel channel, FakeAgent agent) = await FakeAgent.StartAsync();
        await using (channel)
        await using (agent)
        {
            var pings = Enumerable.Range(0, 500).Select(i => channel.PingAsync(Encoding.ASCII.GetBytes($"ping {i}")).AsTask()).ToArray();
            TimeSpan[] times = await Task.WhenAll(pings).Within();
            Assert.All(times, time => Assert.True(time > TimeSpan.Zero));
            Assert.Throws<ArgumentException>("payload", () => { _ = channel.PingAsync(new byte[65]).AsTask(); });
        }
    }

    [Fact]
    public async Task Ping_SilentGuest_CancelledPingsStayBoundedAndInOrder()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenReadyAsync();
        await using (channel)
        await using (peer)
        {
            using var cancellation = new CancellationTokenSource();
            Task<TimeSpan>[] pings = [.. Enumerable.Range(0, 100).Select(i => channel.PingAsync(new[] { (byte)i }, cancellation.Token).AsTask())];
            await cancellation.CancelAsync();
            foreach (Task<TimeSpan> ping in pings)
            {
                await Assert.ThrowsAnyAsync<OperationCanceledException>(() => ping.Within());
            }

            // 64 of them were sent; their late answers belong to nobody, and the next ping still gets its own.
            Task<TimeSpan> last = channel.PingAsync(new byte[] { 200 }).AsTask();
            for (int i = 0; i < 64; i++)
            {
                ReceivedFrame frame = await peer.ReceiveAsync(GuestPort.Control);
                Assert.Equal(FrameType.Ping, frame.Type);
                await peer.SendAsync(GuestPort.Control, FrameType.Pong, 0, frame.Payload);
            }

            ReceivedFrame own = await peer.ReceiveAsync(GuestPort.Control);
            Assert.Equal([200], own.Payload);
            Assert.False(last.IsCompleted);
            await peer.SendAsync(GuestPort.Control, FrameType.Pong, 0, own.Payload);
            await last.Within();
        }
    }

    [Fact]
    public async Task Quiesce_StreamOpen_IsRefusedByTheAgentAndWorksLater()
    {
        (GuestChannel channel, FakeAgent agent) = await FakeAgent.StartAsync();
        await using (channel)
        await using (agent)
        {
            GuestStream hang = channel.OpenStream(GuestPort.Bulk, new OpenRequest { Op = Operations.Exec, Exec = new ExecRequest { Argv = ["hang"] } });
            await hang.GetStartedAsync().Within();
            QuiesceReply refused = await channel.QuiesceAsync(new QuiesceRequest()).Within();
            Assert.Equal((false, 1), (refused.Ok, refused.OpenStreams));

            await hang.DisposeAsync();
            await channel.UntilAsync(() => channel.OpenStreams == 0, "the cancelled stream is closed");
            Assert.True((await channel.QuiesceAsync(new QuiesceRequest { ZeroFreeMemory = true }).Within()).Ok);
        }
    }

    [Fact]
    public async Task Quiesce_Twice_TheSecondIsRefusedWhileTheFirstWaits()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenReadyAsync();
        await using (channel)
        await using (peer)
        {
            Task<QuiesceReply> first = channel.QuiesceAsync(new QuiesceRequest());
            await Assert.ThrowsAsync<InvalidOperationException>(() => channel.QuiesceAsync(new QuiesceRequest()));
            await peer.SendTextAsync(GuestPort.Control, FrameType.Quiesced, 0, "{\"ok\":true}");
            Assert.True((await first.Within()).Ok);
        }
    }
}
