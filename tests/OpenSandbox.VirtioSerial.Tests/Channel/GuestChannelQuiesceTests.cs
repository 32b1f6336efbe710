namespace OpenSandbox.VirtioSerial.Tests;

/// <summary>Quiesce for a snapshot and Thaw: what is sent meanwhile waits, and follows in its order.</summary>
public sealed class GuestChannelQuiesceTests
{
    internal static ThawRequest Thaw { get; } = new() { WallClockNanoseconds = 1, EntropySeed = new byte[32] };

    private static QuiesceRequest Snapshot { get; } = new() { Snapshot = true };

    [Fact]
    public async Task Quiesce_ForSnapshot_HoldsTheControlPortBackUntilThawed()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenReadyAsync();
        await using (channel)
        await using (peer)
        {
            Task<TimeSpan> before = channel.PingAsync(new byte[] { 1 }).AsTask();
            Task<QuiesceReply> quiesce = channel.QuiesceAsync(new QuiesceRequest { Snapshot = true, WatchdogMilliseconds = 2_000 });
            Task<TimeSpan> after = channel.PingAsync(new byte[] { 2 }).AsTask();
            GuestStream stream = channel.OpenStream(GuestPort.Control, GuestStreamTests.Exec("x"));
            Assert.Equal([1], (await peer.ReceiveAsync(GuestPort.Control)).Payload);
            await peer.SendAsync(GuestPort.Control, FrameType.Pong, 0, new byte[] { 1 });
            await before.Within();
            QuiesceRequest sent = (await peer.ReceiveAsync(GuestPort.Control)).Json(ProtocolJsonContext.Default.QuiesceRequest);
            Assert.Equal((true, 2_000), (sent.Snapshot, sent.WatchdogMilliseconds));
            await peer.SendTextAsync(GuestPort.Control, FrameType.Quiesced, 0, "{\"ok\":true,\"openStreams\":3}");
            Assert.Equal(3, (await quiesce.Within()).OpenStreams);

            // Other ports go on, and nothing but Thaw follows on this one.
            await using GuestStream bulk = channel.OpenStream(GuestPort.Bulk, GuestStreamTests.Exec("y"));
            Assert.Equal(FrameType.Open, (await peer.ReceiveAsync(GuestPort.Bulk)).Type);
            Task<ThawedReply> thaw = channel.ThawAsync(Thaw);
            ReceivedFrame frame = await peer.ReceiveAsync(GuestPort.Control);
            Assert.Equal((FrameType.Thaw, 32), (frame.Type, frame.Json(ProtocolJsonContext.Default.ThawRequest).EntropySeed.Length));
            await peer.SendTextAsync(GuestPort.Control, FrameType.Thawed, 0, "{\"ok\":true,\"watchdogFired\":true,\"reason\":\"why\"}");
            ThawedReply thawed = await thaw.Within();
            Assert.Equal((true, true, "why"), (thawed.Ok, thawed.WatchdogFired, thawed.Reason));

            Assert.Equal([2], (await peer.ReceiveAsync(GuestPort.Control)).Payload);
            Assert.Equal((FrameType.Open, stream.Id), ((await peer.ReceiveAsync(GuestPort.Control)) is var open ? open.Type : default, open.StreamId));
            await peer.SendAsync(GuestPort.Control, FrameType.Pong, 0, new byte[] { 2 });
            await after.Within();
            await peer.SendTextAsync(GuestPort.Control, FrameType.Result, stream.Id, "{}");
            await stream.GetResultAsync(ProtocolJsonContext.Default.ResumeResult).Within();
            await stream.DisposeAsync();
            await channel.PingedByAsync(peer);
        }
    }

    [Fact]
    public async Task Quiesce_RefusedForSnapshot_LetsTheRestFollow()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenReadyAsync();
        await using (channel)
        await using (peer)
        {
            for (int i = 0; i < 3; i++)
            {
                Task<QuiesceReply> quiesce = channel.QuiesceAsync(Snapshot);
                Task<TimeSpan> held = channel.PingAsync(default).AsTask();
                Assert.Equal(FrameType.Quiesce, (await peer.ReceiveAsync(GuestPort.Control)).Type);
                await peer.SendTextAsync(GuestPort.Control, FrameType.Quiesced, 0, "{\"ok\":false,\"reason\":\"busy\"}");
                Assert.Equal("busy", (await quiesce.Within()).Reason);
                Assert.Equal(FrameType.Ping, (await peer.ReceiveAsync(GuestPort.Control)).Type);
                await peer.SendAsync(GuestPort.Control, FrameType.Pong, 0, default);
                await held.Within();
            }
        }
    }

    [Fact]
    public async Task Quiesce_CallerGone_GuestCanStillBeThawed()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenReadyAsync();
        await using (channel)
        await using (peer)
        {
            using var gone = new CancellationTokenSource();
            Task<QuiesceReply> quiesce = channel.QuiesceAsync(Snapshot, gone.Token);
            await gone.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => quiesce.Within());
            await Assert.ThrowsAsync<InvalidOperationException>(() => channel.QuiesceAsync(Snapshot));
            Task<ThawedReply> thaw = channel.ThawAsync(Thaw);
            await Assert.ThrowsAsync<InvalidOperationException>(() => channel.ThawAsync(Thaw));
            Assert.Equal(FrameType.Quiesce, (await peer.ReceiveAsync(GuestPort.Control)).Type);
            await peer.SendTextAsync(GuestPort.Control, FrameType.Quiesced, 0, "{\"ok\":true}");
            Assert.Equal(FrameType.Thaw, (await peer.ReceiveAsync(GuestPort.Control)).Type);
            await peer.SendTextAsync(GuestPort.Control, FrameType.Thawed, 0, "{\"ok\":true}");
            Assert.True((await thaw.Within()).Ok);
            await channel.PingedByAsync(peer);
            Task<QuiesceReply> again = channel.QuiesceAsync(Snapshot);
            Assert.Equal(FrameType.Quiesce, (await peer.ReceiveAsync(GuestPort.Control)).Type);
            await peer.SendTextAsync(GuestPort.Control, FrameType.Quiesced, 0, "{\"ok\":true}");
            await again.Within();
            await Assert.ThrowsAsync<InvalidOperationException>(() => channel.QuiesceAsync(new QuiesceRequest()));
        }
    }

    [Fact]
    public async Task Thawed_AheadOfQuiesced_IsAViolation()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenReadyAsync();
        await using (channel)
        await using (peer)
        {
            Task<QuiesceReply> quiesce = channel.QuiesceAsync(Snapshot);
            Task<ThawedReply> thaw = channel.ThawAsync(Thaw);
            await peer.SendTextAsync(GuestPort.Control, FrameType.Thawed, 0, "{\"ok\":true}");
            GuestProtocolException broken = await Assert.ThrowsAsync<GuestProtocolException>(() => thaw.Within());
            Assert.Equal(ProtocolViolation.OutOfOrder, broken.Violation);
            await Assert.ThrowsAsync<GuestProtocolException>(() => quiesce.Within());
        }
    }

    [Theory]
    [InlineData(QuiesceRequest.MinWatchdogMilliseconds - 1)]
    [InlineData(QuiesceRequest.MaxWatchdogMilliseconds + 1)]
    [InlineData(-1)]
    public async Task Quiesce_WatchdogOutOfRange_IsRefusedHere(int milliseconds)
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenReadyAsync();
        await using (channel)
        await using (peer)
        {
            await Assert.ThrowsAsync<ArgumentOutOfRangeException>(
                () => channel.QuiesceAsync(new QuiesceRequest { Snapshot = true, WatchdogMilliseconds = milliseconds }));
            await Assert.ThrowsAsync<ArgumentException>(() => channel.QuiesceAsync(new QuiesceRequest { Snapshot = true, ZeroFreeMemory = true }));
            await channel.PingedByAsync(peer);
        }
    }
}
