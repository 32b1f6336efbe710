using System.Net.Sockets;

namespace OpenSandbox.VirtioSerial.Tests;

/// <summary>Cancellation, disposal and loss at every stage: the first cause everywhere, and no stream left over.</summary>
public sealed class GuestChannelLifetimeTests
{
    [Fact]
    public async Task Connection_LostWithCallsOfEveryKindPending_AllReportTheFirstCause()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenReadyAsync();
        await using (channel)
        {
            await using GuestStream stream = channel.OpenStream(GuestPort.Bulk, GuestStreamTests.Exec("x"));
            Task[] calls =
            [
                stream.GetStartedAsync().AsTask(),
                stream.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage).AsTask(),
                stream.ReadAsync().AsTask(),
                stream.WriteAsync(new byte[ProtocolConstants.CreditWindow + 1]).AsTask(),
                channel.PingAsync(default).AsTask(),
                channel.QuiesceAsync(new QuiesceRequest()),
                channel.ThawAsync(GuestChannelQuiesceTests.Thaw),
            ];
            await peer.DisposeAsync();
            string? cause = null;
            foreach (Task call in calls)
            {
                GuestChannelException e = await Assert.ThrowsAnyAsync<GuestChannelException>(() => call.Within());
                cause ??= e.Message;
                Assert.Equal(cause, e.Message);
                Assert.Same(channel.Failure, e.InnerException);
            }

            Assert.Equal(cause, (await Assert.ThrowsAnyAsync<GuestChannelException>(() => stream.CancelAsync().Within())).Message);
            Assert.Equal(cause, (await Assert.ThrowsAnyAsync<GuestChannelException>(() => channel.WaitForHelloAsync())).Message);
            Assert.Same(channel.Failure, await Assert.ThrowsAnyAsync<GuestChannelException>(() => channel.Completion.Within()));
            Assert.Equal(0, channel.OpenStreams);
        }
    }

    [Fact]
    public async Task Connection_HalfClosedByTheGuest_EndsTheChannel()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenReadyAsync();
        await using (channel)
        await using (peer)
        {
            peer.Socket(GuestPort.Bulk).Shutdown(SocketShutdown.Send);
            GuestChannelException e = await Assert.ThrowsAsync<GuestChannelException>(() => channel.Completion.Within());
            Assert.Contains("Bulk", e.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Connection_LostInTheMiddleOfAFrame_EndsTheChannel()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenReadyAsync();
        await using (channel)
        {
            await using GuestStream stream = channel.OpenStream(GuestPort.Bulk, GuestStreamTests.Exec("x"));
            byte[] frame = peer.Frame(FrameType.Data, stream.Id, new byte[100]);
            await peer.SendRawAsync(GuestPort.Bulk, frame.AsMemory(0, 60));
            await peer.DisposeAsync();
            await Assert.ThrowsAnyAsync<GuestChannelException>(() => stream.ReadAsync().Within());
        }
    }

    [Fact]
    public async Task Open_OnADeadSocket_TheNextCallSaysSo()
    {
        (Socket control, Socket controlPeer) = SocketPairs.Create();
        (Socket bulk, Socket bulkPeer) = SocketPairs.Create();
        controlPeer.Dispose();
        bulkPeer.Dispose();
        await using GuestChannel channel = GuestChannel.Open(control, bulk, new GuestChannelOptions { Epoch = 1 });
        await Assert.ThrowsAsync<GuestChannelException>(() => channel.WaitForHelloAsync().Within());
    }

    [Fact]
    public async Task Dispose_Channel_FailsPendingCallsAndEndsWell()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenReadyAsync();
        await using (peer)
        {
            await using GuestStream stream = channel.OpenStream(GuestPort.Bulk, GuestStreamTests.Exec("x"));
            Task<GuestData> read = stream.ReadAsync().AsTask();
            await channel.DisposeAsync().Within();
            await channel.DisposeAsync().Within();
            Assert.True(channel.Completion.IsCompletedSuccessfully);
            GuestChannelException e = await Assert.ThrowsAsync<GuestChannelException>(() => read.Within());
            Assert.Contains("closed by this side", e.Message, StringComparison.Ordinal);
            Assert.Throws<GuestChannelException>(() => channel.OpenStream(GuestPort.Bulk, GuestStreamTests.Exec("x")));
        }
    }

    [Fact]
    public async Task Dispose_ChannelWhoseOutputIsStuck_DoesNotHang()
    {
        (GuestChannel channel, AgentPeer peer) = AgentPeer.Open();
        await using (peer)
        {
            // Nobody reads: the socket is full, and the pump waits.
            GuestStream[] streams = [.. Enumerable.Range(0, 8).Select(_ => channel.OpenStream(GuestPort.Bulk, GuestStreamTests.Exec("x")))];
            Task<bool>[] writes = [.. streams.Select(stream => stream.WriteAsync(new byte[ProtocolConstants.CreditWindow]).AsTask())];
            await channel.DisposeAsync().Within();
            foreach (Task<bool> write in writes)
            {
                // Those that fitted into the queue had succeeded before.
                await write.Within().ContinueWith(
                    task => Assert.True(task.IsCompletedSuccessfully || task.Exception!.InnerException is GuestChannelException), TaskScheduler.Default);
            }
        }
    }

    [Fact]
    public async Task Dispose_StreamWithCallsPending_EndsThemAndCancelsOnce()
    {
        (GuestChannel channel, FakeAgent agent) = await FakeAgent.StartAsync();
        await using (channel)
        await using (agent)
        {
            GuestStream stream = channel.OpenStream(GuestPort.Bulk, GuestStreamTests.Exec("hang"));
            await stream.GetStartedAsync().Within();
            Task[] calls =
            [
                stream.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage).AsTask(),
                stream.ReadAsync(new byte[10]).AsTask(),
                stream.WriteAsync(new byte[ProtocolConstants.CreditWindow + 1]).AsTask(),
            ];
            await stream.DisposeAsync();
            await stream.DisposeAsync();
            foreach (Task call in calls)
            {
                await Assert.ThrowsAsync<ObjectDisposedException>(() => call.Within());
            }

            await Assert.ThrowsAsync<ObjectDisposedException>(() => stream.ReadAsync().Within());
            await channel.UntilAsync(() => channel.OpenStreams == 0, "the agent has closed the stream");
            Assert.Equal(1, agent.Cancels);
            Assert.Equal(0, agent.OpenStreams);
        }
    }

    [Fact]
    public async Task Cancel_RunningCommand_GivesItsErrorAndKeepsWhatCameBefore()
    {
        (GuestChannel channel, FakeAgent agent) = await FakeAgent.StartAsync();
        await using (channel)
        await using (agent)
        {
            await using GuestStream stream = channel.OpenStream(GuestPort.Bulk, GuestStreamTests.Exec("yes"));
            using (GuestData data = await stream.ReadAsync().Within())
            {
                Assert.Equal((byte)'y', data.Bytes.Span[0]);
            }

            await stream.CancelAsync();
            await stream.CancelAsync();
            GuestOperationException e = await Assert.ThrowsAsync<GuestOperationException>(
                () => stream.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage).Within());
            Assert.Equal(AgentErrorCodes.Cancelled, e.Code);
            await Assert.ThrowsAsync<GuestOperationException>(() => stream.WriteAsync(new byte[1]).Within());
            Assert.Equal(1, agent.Cancels);
        }
    }

    [Fact]
    public async Task Dispose_StreamWithDataLentOut_LeavesTheBytesAloneUntilTheyAreReturned()
    {
        (GuestChannel channel, FakeAgent agent) = await FakeAgent.StartAsync();
        await using (channel)
        await using (agent)
        {
            GuestStream stream = channel.OpenStream(GuestPort.Bulk, GuestStreamTests.Exec("hello"));
            await stream.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage).Within();
            GuestData lent = await stream.ReadAsync().Within();
            await stream.DisposeAsync();
            for (int i = 0; i < 20; i++)
            {
                await using GuestStream other = channel.OpenStream(GuestPort.Bulk, GuestStreamTests.Exec("hello"));
                await other.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage).Within();
                using GuestData data = await other.ReadAsync().Within();
            }

            Assert.True(lent.Bytes.Span.SequenceEqual("out"u8));
            lent.Dispose();
        }
    }

    /// <summary>Every point at which a caller may let go, many times over: the counter of streams comes back to zero.</summary>
    [Fact]
    public async Task Dispose_AtAnyStage_LeaksNoStream()
    {
        const int Rounds = 300;
        (GuestChannel channel, FakeAgent agent) = await FakeAgent.StartAsync();
        await using (channel)
        await using (agent)
        {
            var random = new Random(1);
            await Parallel.ForEachAsync(
                Enumerable.Range(0, Rounds).Select(round => (Round: round, Stage: random.Next(7), Command: random.Next(5))),
                new ParallelOptions { MaxDegreeOfParallelism = 8 },
                async (c, _) => await LetGoAsync(channel, c.Stage, ((string[])["hello", "cat", "hang", "fail", "yes"])[c.Command]).Within());
            await channel.UntilAsync(() => channel.OpenStreams == 0, "all streams are closed");
            Assert.Equal(0, agent.OpenStreams);
            Assert.Equal(0, channel.StrayFrames);
            Assert.Null(channel.Failure);
        }
    }

    private static async Task LetGoAsync(GuestChannel channel, int stage, string command)
    {
        using var cancellation = new CancellationTokenSource();
        await using GuestStream stream = channel.OpenStream(GuestPort.Bulk, GuestStreamTests.Exec(command));
        try
        {
            switch (stage)
            {
                case 0:
                    return;
                case 1:
                    await stream.GetStartedAsync();
                    return;
                case 2:
                    ValueTask<GuestData> read = stream.ReadAsync(cancellation.Token);
                    await cancellation.CancelAsync();
                    (await read).Dispose();
                    return;
                case 3:
                    ValueTask<(DataChannel, int)> copy = stream.ReadAsync(new byte[100], cancellation.Token);
                    await stream.CancelAsync();
                    await cancellation.CancelAsync();
                    await copy;
                    return;
                case 4:
                    ValueTask<bool> write = stream.WriteAsync(new byte[100_000], cancellation.Token);
                    await cancellation.CancelAsync();
                    await write;
                    return;
                case 5:
                    ValueTask<ExecResultMessage> result = stream.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage, cancellation.Token);
                    await cancellation.CancelAsync();
                    await result;
                    return;
                default:
                    await stream.CancelAsync();
                    await stream.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage);
                    return;
            }
        }
        catch (Exception e) when (e is OperationCanceledException or GuestOperationException)
        {
            // What each of them gets is a race; that nothing is left over is not.
        }
    }
}
