using System.Text;

namespace OpenSandbox.VirtioSerial.Tests;

/// <summary>A guest that breaks the rules ends the channel, with the rule named, and every call says so.</summary>
public sealed class GuestChannelHostileTests
{
    private const uint StreamId = 1;

    /// <summary>Name of the case, what the guest sends on which port after a good start with stream 1 open on bulk, and the rule.</summary>
    public static TheoryData<string, GuestPort, FrameType, uint, string, ProtocolViolation> Frames => new()
    {
        { "second hello", GuestPort.Control, FrameType.Hello, 0, "{\"generation\":1}", ProtocolViolation.OutOfOrder },
        { "welcome", GuestPort.Control, FrameType.Welcome, 0, "{\"generation\":1}", ProtocolViolation.WrongDirection },
        { "ping", GuestPort.Control, FrameType.Ping, 0, "x", ProtocolViolation.WrongDirection },
        { "pong unasked", GuestPort.Control, FrameType.Pong, 0, "x", ProtocolViolation.OutOfOrder },
        { "quiesce", GuestPort.Control, FrameType.Quiesce, 0, "{}", ProtocolViolation.WrongDirection },
        { "quiesced unasked", GuestPort.Control, FrameType.Quiesced, 0, "{\"ok\":true}", ProtocolViolation.OutOfOrder },
        { "thaw", GuestPort.Control, FrameType.Thaw, 0, "{}", ProtocolViolation.WrongDirection },
        { "thawed unasked", GuestPort.Control, FrameType.Thawed, 0, "{\"ok\":true}", ProtocolViolation.OutOfOrder },
        { "thawed on bulk", GuestPort.Bulk, FrameType.Thawed, 0, "{\"ok\":true}", ProtocolViolation.WrongDirection },
        { "hello on bulk", GuestPort.Bulk, FrameType.Hello, 0, "{\"generation\":1}", ProtocolViolation.WrongDirection },
        { "pong on bulk", GuestPort.Bulk, FrameType.Pong, 0, "x", ProtocolViolation.WrongDirection },
        { "open", GuestPort.Bulk, FrameType.Open, StreamId, "{}", ProtocolViolation.WrongDirection },
        { "cancel", GuestPort.Bulk, FrameType.Cancel, StreamId, "", ProtocolViolation.WrongDirection },
        { "signal", GuestPort.Bulk, FrameType.Signal, StreamId, "{}", ProtocolViolation.WrongDirection },
        { "stream never opened", GuestPort.Bulk, FrameType.Data, 2, "x", ProtocolViolation.UnknownStream },
        { "stream of the other port", GuestPort.Control, FrameType.Data, StreamId, "x", ProtocolViolation.UnknownStream },
        { "stream of the agent", GuestPort.Bulk, FrameType.Data, 0x8000_0000, "x", ProtocolViolation.UnknownStream },
        { "result never asked for", GuestPort.Bulk, FrameType.Result, 7, "{}", ProtocolViolation.UnknownStream },
        { "started not json", GuestPort.Bulk, FrameType.Started, StreamId, "pid 42", ProtocolViolation.InvalidPayload },
        { "result not json", GuestPort.Bulk, FrameType.Result, StreamId, "{\"exitCode\":", ProtocolViolation.InvalidPayload },
        { "result no object", GuestPort.Bulk, FrameType.Result, StreamId, "[]", ProtocolViolation.InvalidPayload },
        { "result of wrong shape", GuestPort.Bulk, FrameType.Result, StreamId, "{\"exitCode\":\"zero\"}", ProtocolViolation.InvalidPayload },
        { "result too deep", GuestPort.Bulk, FrameType.Result, StreamId, "{\"a\":[[[[[[[[[[]]]]]]]]]]}", ProtocolViolation.InvalidPayload },
        { "result with a tail", GuestPort.Bulk, FrameType.Result, StreamId, "{}{}", ProtocolViolation.InvalidPayload },
        { "error without a code", GuestPort.Bulk, FrameType.Error, StreamId, "{}", ProtocolViolation.InvalidPayload },
        { "error with a null code", GuestPort.Bulk, FrameType.Error, StreamId, "{\"code\":null,\"message\":null}", ProtocolViolation.InvalidPayload },
        { "credit for nothing", GuestPort.Bulk, FrameType.Credit, StreamId, "\u0001\0\0\0", ProtocolViolation.CreditExceeded },
    };

    [Theory]
    [MemberData(nameof(Frames))]
    public async Task Frame_AgainstTheRules_EndsTheChannelAndEveryCallSaysWhy(
        string name, GuestPort port, FrameType type, uint streamId, string payload, ProtocolViolation violation)
    {
        Assert.NotEmpty(name);
        await ExpectAsync(violation, peer => peer.SendTextAsync(port, type, streamId, payload));
    }

    [Fact]
    public Task Started_Twice_IsAViolation() => ExpectAsync(ProtocolViolation.StartedTwice, async peer =>
    {
        await peer.SendTextAsync(GuestPort.Bulk, FrameType.Started, StreamId, "{}");
        await peer.SendTextAsync(GuestPort.Bulk, FrameType.Started, StreamId, "{}");
    });

    [Theory]
    [InlineData(FrameType.Data, "x")]
    [InlineData(FrameType.End, "")]
    public Task Frame_AfterEnd_IsAViolation(FrameType type, string payload) => ExpectAsync(ProtocolViolation.DataAfterEnd, async peer =>
    {
        await peer.SendAsync(GuestPort.Bulk, FrameType.End, StreamId, default);
        await peer.SendTextAsync(GuestPort.Bulk, type, StreamId, payload);
    });

    [Fact]
    public Task Data_OneByteBeyondTheWindow_IsAViolation() => ExpectAsync(
        ProtocolViolation.WindowExceeded,
        async peer =>
        {
            await peer.SendWindowAsync(StreamId);
            await peer.SendAsync(GuestPort.Bulk, FrameType.Data, StreamId, new byte[1]);
        },
        read: false);

    [Fact]
    public Task Credit_OfFourGibibytes_IsAViolation() =>
        ExpectAsync(ProtocolViolation.CreditExceeded, peer => peer.SendCreditAsync(GuestPort.Bulk, StreamId, uint.MaxValue));

    [Fact]
    public async Task Pong_WithOtherBytes_IsAViolation()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenReadyAsync();
        await using (channel)
        await using (peer)
        {
            Task<TimeSpan> ping = channel.PingAsync("abc"u8.ToArray()).AsTask();
            await peer.ReceiveAsync(GuestPort.Control);
            await peer.SendTextAsync(GuestPort.Control, FrameType.Pong, 0, "abd");
            await AssertFailedAsync(ProtocolViolation.WrongPong, () => ping);
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(13)]
    [InlineData(17)]
    public async Task Frame_Malformed_IsAViolation(int offset)
    {
        await ExpectAsync(ProtocolViolation.MalformedFrame, peer =>
        {
            byte[] frame = peer.Frame(FrameType.Data, StreamId, "abc"u8);
            frame[offset == 17 ? ^1 : offset] ^= 0xFF;
            return peer.SendRawAsync(GuestPort.Bulk, frame);
        });
    }

    [Fact]
    public async Task Preamble_NeverAmongManyBytes_IsAViolation()
    {
        (GuestChannel channel, AgentPeer peer) = AgentPeer.Open(new GuestChannelOptions { Epoch = 9, MaxDroppedBytes = 100_000 });
        await using (channel)
        await using (peer)
        {
            await peer.SendRawAsync(GuestPort.Bulk, new byte[100_001]);
            await AssertFailedAsync(ProtocolViolation.NoPreamble, () => channel.WaitForHelloAsync());
        }
    }

    [Fact]
    public async Task Frame_AheadOfHello_IsAViolation()
    {
        (GuestChannel channel, AgentPeer peer) = AgentPeer.Open();
        await using (channel)
        await using (peer)
        {
            await peer.SendPreambleAsync(GuestPort.Control);
            await peer.SendTextAsync(GuestPort.Control, FrameType.Pong, 0, "");
            await AssertFailedAsync(ProtocolViolation.OutOfOrder, () => channel.WaitForHelloAsync());
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(65_536)]
    public async Task Hello_OfAnImpossibleGeneration_IsAViolation(int generation)
    {
        (GuestChannel channel, AgentPeer peer) = AgentPeer.Open();
        await using (channel)
        await using (peer)
        {
            await peer.SendPreambleAsync(GuestPort.Control);
            await peer.SendHelloAsync(generation);
            await AssertFailedAsync(ProtocolViolation.WrongGeneration, () => channel.WaitForHelloAsync());
        }
    }

    [Fact]
    public async Task Frames_ForAStreamThatHasEnded_AreDroppedUpToTheBound()
    {
        const int Bound = 50;
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenReadyAsync(new GuestChannelOptions { Epoch = 9, MaxStrayFrames = Bound });
        await using (channel)
        await using (peer)
        {
            await using GuestStream stream = channel.OpenStream(GuestPort.Bulk, GuestStreamTests.Exec("x"));
            await peer.SendTextAsync(GuestPort.Bulk, FrameType.Result, StreamId, "{}");
            for (int i = 0; i < Bound; i++)
            {
                await peer.SendTextAsync(GuestPort.Bulk, i % 2 == 0 ? FrameType.Data : FrameType.Result, StreamId, "{}");
            }

            // Frames of one port are handled in order: the next stream's answer comes after all of them.
            await using GuestStream next = channel.OpenStream(GuestPort.Bulk, GuestStreamTests.Exec("x"));
            await peer.SendTextAsync(GuestPort.Bulk, FrameType.Result, next.Id, "{}");
            await next.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage).Within();
            Assert.Equal(Bound, channel.StrayFrames);

            // The next stream's end has paid for one.
            await peer.SendTextAsync(GuestPort.Bulk, FrameType.Data, StreamId, "x");
            await using GuestStream third = channel.OpenStream(GuestPort.Bulk, GuestStreamTests.Exec("x"));
            await peer.SendTextAsync(GuestPort.Bulk, FrameType.Started, third.Id, "{}");
            await third.GetStartedAsync().Within();
            Assert.Null(channel.Failure);

            await peer.SendTextAsync(GuestPort.Bulk, FrameType.Data, StreamId, "x");
            await AssertFailedAsync(ProtocolViolation.TooManyStrayFrames, () => channel.Completion);
        }
    }

    [Fact]
    public async Task Data_ForACancelledStream_IsDroppedButTheWindowStillHolds()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenReadyAsync();
        await using (channel)
        await using (peer)
        {
            GuestStream stream = channel.OpenStream(GuestPort.Bulk, GuestStreamTests.Exec("x"));
            await stream.DisposeAsync();
            await peer.SendWindowAsync(stream.Id);
            await peer.SendAsync(GuestPort.Bulk, FrameType.Data, stream.Id, new byte[1]);
            await AssertFailedAsync(ProtocolViolation.WindowExceeded, () => channel.Completion);
        }
    }

    [Fact]
    public async Task Bytes_OneAtATime_AreUnderstood()
    {
        (GuestChannel channel, AgentPeer peer) = AgentPeer.Open();
        await using (channel)
        await using (peer)
        {
            await using GuestStream stream = channel.OpenStream(GuestPort.Bulk, GuestStreamTests.Exec("x"));
            await SendSlowlyAsync(GuestPort.Control, [.. PreambleBytes(peer), .. peer.Frame(FrameType.Hello, 0, "{\"generation\":1}"u8)]);
            await SendSlowlyAsync(
                GuestPort.Bulk,
                [.. PreambleBytes(peer), .. peer.Frame(FrameType.Data, StreamId, "output"u8, 1), .. peer.Frame(FrameType.Result, StreamId, "{\"exitCode\":3}"u8)]);
            await channel.WaitForHelloAsync().Within();
            Assert.Equal(3, (await stream.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage).Within()).ExitCode);
            using GuestData data = await stream.ReadAsync().Within();
            Assert.Equal("output", Encoding.ASCII.GetString(data.Bytes.Span));

            async Task SendSlowlyAsync(GuestPort port, byte[] bytes)
            {
                for (int i = 0; i < bytes.Length; i++)
                {
                    await peer.SendRawAsync(port, bytes.AsMemory(i, 1));
                }
            }
        }
    }

    private static byte[] PreambleBytes(AgentPeer peer)
    {
        var bytes = new byte[ProtocolConstants.PreambleSize];
        new Preamble(peer.Epoch, 1).Write(bytes);
        return bytes;
    }

    private static async Task AssertFailedAsync(ProtocolViolation violation, Func<Task> call) =>
        Assert.Equal(violation, (await Assert.ThrowsAsync<GuestProtocolException>(() => call().Within())).Violation);

    /// <summary>A channel with one stream open and calls of every kind waiting; then the violation; then every call has failed with it.</summary>
    private static async Task ExpectAsync(ProtocolViolation violation, Func<AgentPeer, Task> attack, bool read = true)
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenReadyAsync();
        await using (channel)
        await using (peer)
        {
            await using GuestStream stream = channel.OpenStream(GuestPort.Bulk, GuestStreamTests.Exec("x"));
            Assert.Equal(StreamId, stream.Id);
            Task<ExecResultMessage> result = stream.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage).AsTask();
            Task reading = read ? ReadToEndAsync(stream) : channel.Completion;
            await attack(peer);

            await AssertFailedAsync(violation, () => result);
            await AssertFailedAsync(violation, () => channel.Completion);
            if (violation != ProtocolViolation.DataAfterEnd && violation != ProtocolViolation.InvalidPayload)
            {
                await AssertFailedAsync(violation, () => reading);
            }

            await AssertFailedAsync(violation, () => channel.PingAsync(default).AsTask());
            await AssertFailedAsync(violation, () => channel.QuiesceAsync(new QuiesceRequest()));
            await AssertFailedAsync(violation, () => channel.ThawAsync(GuestChannelQuiesceTests.Thaw));
            await AssertFailedAsync(violation, () => Task.Run(() => channel.OpenStream(GuestPort.Control, GuestStreamTests.Exec("x"))));
            await WaitForClosedAsync(channel);
            Assert.Equal(violation, Assert.IsType<GuestProtocolException>(channel.Failure).Violation);
            Assert.Equal(0, channel.OpenStreams);
        }
    }

    private static async Task WaitForClosedAsync(GuestChannel channel)
    {
        var closed = new TaskCompletionSource();
        await using CancellationTokenRegistration registration = channel.Closed.UnsafeRegister(_ => closed.TrySetResult(), null);
        await closed.Task.Within();
    }

    private static async Task ReadToEndAsync(GuestStream stream)
    {
        while (true)
        {
            using GuestData data = await stream.ReadAsync();
            if (data.IsEnd)
            {
                return;
            }
        }
    }
}
