using System.Text;

namespace OpenSandbox.VirtioSerial.Tests;

/// <summary>Streams against an agent that keeps the rules.</summary>
public sealed class GuestStreamTests
{
    [Fact]
    public async Task Exec_WithOutput_GivesStartedDataEndAndResult()
    {
        (GuestChannel channel, FakeAgent agent) = await FakeAgent.StartAsync();
        await using (channel)
        await using (agent)
        {
            await using GuestStream stream = channel.OpenStream(GuestPort.Bulk, Exec("hello"));
            Assert.Equal(42, (await stream.GetStartedAsync().Within())!.Pid);
            Assert.Equal(
                [(DataChannel.StandardOutput, "out"), (DataChannel.StandardError, "err")],
                await ReadTextsAsync(stream));
            ExecResultMessage result = await stream.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage).Within();
            Assert.Equal((0, 5L), (result.ExitCode, result.WallMicroseconds));
            Assert.Equal(0, channel.OpenStreams);
        }
    }

    [Fact]
    public async Task GetResult_DataStillUnread_ComesAndTheDataCanBeReadAfterwards()
    {
        (GuestChannel channel, FakeAgent agent) = await FakeAgent.StartAsync();
        await using (channel)
        await using (agent)
        {
            await using GuestStream stream = channel.OpenStream(GuestPort.Bulk, Exec("hello"));
            await stream.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage).Within();
            await stream.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage).Within();
            var buffer = new byte[2];
            Assert.Equal((DataChannel.StandardOutput, 2), await stream.ReadAsync(buffer).Within());
            Assert.Equal("ou"u8, buffer);
            Assert.Equal((DataChannel.StandardOutput, 1), await stream.ReadAsync(buffer).Within());
            Assert.Equal((DataChannel.StandardError, "err"), Assert.Single(await ReadTextsAsync(stream)));
            Assert.Equal(0, (await stream.ReadAsync(buffer).Within()).Count);
        }
    }

    [Fact]
    public async Task Error_FromTheAgent_FailsTheRequestAndNothingElse()
    {
        (GuestChannel channel, FakeAgent agent) = await FakeAgent.StartAsync();
        await using (channel)
        await using (agent)
        {
            await using GuestStream stream = channel.OpenStream(GuestPort.Bulk, Exec("fail"));
            GuestOperationException e = await Assert.ThrowsAsync<GuestOperationException>(
                () => stream.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage).Within());
            Assert.Equal((AgentErrorCodes.SpawnFailed, 2, Operations.Exec), (e.Code, e.Errno, e.Operation));
            Assert.Equal("exec: no  such program", e.Message); // Control characters are gone.
            await Assert.ThrowsAsync<GuestOperationException>(() => stream.ReadAsync().Within());
            await Assert.ThrowsAsync<GuestOperationException>(() => stream.GetStartedAsync().Within());
            await Assert.ThrowsAsync<GuestOperationException>(() => stream.WriteAsync(new byte[1]).Within());
            await channel.PingAsync(default).Within();
            Assert.Null(channel.Failure);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(ProtocolConstants.MaxPayloadSize)]
    [InlineData(1_000_000)]
    public async Task Cat_Input_ComesBackUnchanged(int size)
    {
        (GuestChannel channel, FakeAgent agent) = await FakeAgent.StartAsync();
        await using (channel)
        await using (agent)
        {
            await using GuestStream stream = channel.OpenStream(GuestPort.Bulk, Exec("cat"));
            var input = new byte[size];
            new Random(size).NextBytes(input);
            Task<bool> write = WriteAllAsync(stream, input);
            var output = new MemoryStream();
            var buffer = new byte[10_000];
            while (await stream.ReadAsync(buffer).Within() is { Count: > 0 } read)
            {
                output.Write(buffer, 0, read.Count);
            }

            Assert.True(await write.Within());
            Assert.Equal(input, output.ToArray());
        }
    }

    [Fact]
    public async Task OpenStream_RequestLongerThanAFrame_IsSplitAndPutTogether()
    {
        (GuestChannel channel, FakeAgent agent) = await FakeAgent.StartAsync();
        await using (channel)
        await using (agent)
        {
            OpenRequest large = Exec("hello", new string('a', 1_000_000));
            await using GuestStream stream = channel.OpenStream(GuestPort.Bulk, large);
            await using GuestStream next = channel.OpenStream(GuestPort.Bulk, Exec("hello"));
            await stream.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage).Within();
            await next.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage).Within();
            Assert.Equal(2u, next.Id);
        }
    }

    [Fact]
    public async Task OpenStream_RequestLongerThanAMebibyte_IsRefusedAndTakesNoId()
    {
        (GuestChannel channel, FakeAgent agent) = await FakeAgent.StartAsync();
        await using (channel)
        await using (agent)
        {
            Assert.Throws<ArgumentException>("value", () => channel.OpenStream(GuestPort.Bulk, Exec(new string('a', ProtocolConstants.MaxRequestSize))));
            await using GuestStream stream = channel.OpenStream(GuestPort.Bulk, Exec("hello"));
            Assert.Equal(1u, stream.Id);
        }
    }

    [Fact]
    public async Task OpenStream_LimitReached_IsRefusedUntilOneEnds()
    {
        (GuestChannel channel, FakeAgent agent) = await FakeAgent.StartAsync(new GuestChannelOptions { Epoch = 5, MaxStreams = 2 });
        await using (channel)
        await using (agent)
        {
            await using GuestStream first = channel.OpenStream(GuestPort.Bulk, Exec("hang"));
            await using GuestStream second = channel.OpenStream(GuestPort.Bulk, Exec("hang"));
            GuestOperationException e = Assert.Throws<GuestOperationException>(() => channel.OpenStream(GuestPort.Bulk, Exec("hello")));
            Assert.Equal(AgentErrorCodes.LimitReached, e.Code);
            await first.SignalAsync(new SignalRequest { Signal = 15 });
            Assert.Equal(15, (await first.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage).Within()).Signal);
            await using GuestStream third = channel.OpenStream(GuestPort.Bulk, Exec("hello"));
            await third.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage).Within();
            Assert.False(await first.SignalAsync(new SignalRequest { Signal = 15 }));
        }
    }

    [Fact]
    public async Task OpenStream_OnControl_IsAnsweredThere()
    {
        (GuestChannel channel, FakeAgent agent) = await FakeAgent.StartAsync();
        await using (channel)
        await using (agent)
        {
            await using GuestStream stream = channel.OpenStream(GuestPort.Control, new OpenRequest { Op = Operations.Resume });
            Assert.Equal(7, (await stream.GetResultAsync(ProtocolJsonContext.Default.ResumeResult).Within()).TotalMicroseconds);
            Assert.Null(await stream.GetStartedAsync().Within());
        }
    }

    [Fact]
    public async Task Write_CommandEndsWithoutReading_ReturnsFalse()
    {
        (GuestChannel channel, FakeAgent agent) = await FakeAgent.StartAsync();
        await using (channel)
        await using (agent)
        {
            await using GuestStream stream = channel.OpenStream(GuestPort.Bulk, Exec("exit"));
            Assert.False(await stream.WriteAsync(new byte[2 * ProtocolConstants.CreditWindow]).Within());
            await stream.CompleteWritesAsync();
            Assert.Equal(0, (await stream.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage).Within()).ExitCode);
        }
    }

    [Fact]
    public async Task Write_AfterCompletion_Throws()
    {
        (GuestChannel channel, FakeAgent agent) = await FakeAgent.StartAsync();
        await using (channel)
        await using (agent)
        {
            await using GuestStream stream = channel.OpenStream(GuestPort.Bulk, Exec("hang"));
            await stream.CompleteWritesAsync();
            await stream.CompleteWritesAsync();
            await Assert.ThrowsAsync<InvalidOperationException>(() => stream.WriteAsync(new byte[1]).Within());
        }
    }

    [Fact]
    public async Task Read_SecondOneAtATime_Throws()
    {
        (GuestChannel channel, FakeAgent agent) = await FakeAgent.StartAsync();
        await using (channel)
        await using (agent)
        {
            await using GuestStream stream = channel.OpenStream(GuestPort.Bulk, Exec("cat"));
            Task<GuestData> first = stream.ReadAsync().AsTask();
            await Assert.ThrowsAsync<InvalidOperationException>(() => stream.ReadAsync().Within());
            await Assert.ThrowsAsync<ArgumentException>(async () => await stream.ReadAsync(Memory<byte>.Empty));
            await stream.WriteAsync("abcd"u8.ToArray()).Within();
            GuestData lent = await first.Within();
            await Assert.ThrowsAsync<InvalidOperationException>(() => stream.ReadAsync().Within());
            Assert.Equal("abcd", Encoding.ASCII.GetString(lent.Bytes.Span));
            lent.Dispose();
            lent.Dispose();
            await stream.CompleteWritesAsync();
            Assert.True((await stream.ReadAsync().Within()).IsEnd);
        }
    }

    [Fact]
    public async Task Read_Cancelled_LosesNoData()
    {
        (GuestChannel channel, FakeAgent agent) = await FakeAgent.StartAsync();
        await using (channel)
        await using (agent)
        {
            await using GuestStream stream = channel.OpenStream(GuestPort.Bulk, Exec("cat"));
            var buffer = new byte[100];
            using (var cancellation = new CancellationTokenSource())
            {
                Task<(DataChannel Channel, int Count)> read = stream.ReadAsync(buffer, cancellation.Token).AsTask();
                await cancellation.CancelAsync();
                await Assert.ThrowsAnyAsync<OperationCanceledException>(() => read.Within());
            }

            await stream.WriteAsync("abcd"u8.ToArray()).Within();
            (DataChannel _, int count) = await stream.ReadAsync(buffer).Within();
            Assert.Equal("abcd", Encoding.ASCII.GetString(buffer, 0, count));
        }
    }

    internal static OpenRequest Exec(params string[] argv) => new() { Op = Operations.Exec, Exec = new ExecRequest { Argv = argv } };

    private static async Task<bool> WriteAllAsync(GuestStream stream, byte[] bytes)
    {
        bool written = await stream.WriteAsync(bytes);
        await stream.CompleteWritesAsync();
        return written;
    }

    private static async Task<List<(DataChannel Channel, string Text)>> ReadTextsAsync(GuestStream stream)
    {
        var texts = new List<(DataChannel, string)>();
        while (true)
        {
            using GuestData data = await stream.ReadAsync().Within();
            if (data.IsEnd)
            {
                return texts;
            }

            texts.Add((data.Channel, Encoding.UTF8.GetString(data.Bytes.Span)));
        }
    }
}
