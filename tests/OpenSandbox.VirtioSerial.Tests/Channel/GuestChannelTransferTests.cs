using System.Security.Cryptography;

namespace OpenSandbox.VirtioSerial.Tests;

/// <summary>Much data, many streams, exact credit.</summary>
public sealed class GuestChannelTransferTests
{
    private const long Large = 200L * 1024 * 1024;

    [Fact]
    public async Task Source_OfTwoHundredMebibytes_ArrivesUnchanged()
    {
        (GuestChannel channel, FakeAgent agent) = await FakeAgent.StartAsync();
        await using (channel)
        await using (agent)
        {
            await using GuestStream stream = channel.OpenStream(GuestPort.Bulk, new OpenRequest { Op = Operations.Source, Length = Large });
            long count = 0;
            while (true)
            {
                using GuestData data = await stream.ReadAsync().Within();
                if (data.IsEnd)
                {
                    break;
                }

                Assert.True(IsSource(data.Bytes.Span, count), $"Other bytes near {count}.");
                count += data.Bytes.Length;
            }

            Assert.Equal(Large, count);
            Assert.Equal(Large, (await stream.GetResultAsync(ProtocolJsonContext.Default.FileResult).Within()).Bytes);
        }
    }

    [Fact]
    public async Task Sink_OfTwoHundredMebibytes_ArrivesUnchangedWithinTheWindow()
    {
        (GuestChannel channel, FakeAgent agent) = await FakeAgent.StartAsync();
        await using (channel)
        await using (agent)
        {
            await using GuestStream stream = channel.OpenStream(GuestPort.Bulk, new OpenRequest { Op = Operations.Sink });
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            var chunk = new byte[1_000_003];
            new Random(7).NextBytes(chunk);
            long count = 0;
            while (count < Large)
            {
                int length = (int)Math.Min(chunk.Length, Large - count);
                chunk[0]++;
                hash.AppendData(chunk, 0, length);
                Assert.True(await stream.WriteAsync(chunk.AsMemory(0, length)).Within());
                count += length;
            }

            await stream.CompleteWritesAsync();
            Assert.Equal(Large, (await stream.GetResultAsync(ProtocolJsonContext.Default.FileResult).Within()).Bytes);
            Assert.Equal(hash.GetHashAndReset(), agent.LastSinkHash);
            Assert.InRange(agent.MostOutstanding, ProtocolConstants.CreditWindow / 4, ProtocolConstants.CreditWindow);
        }
    }

    [Fact]
    public async Task Reader_ThatNeverReads_StopsItsOwnStreamOnly()
    {
        (GuestChannel channel, FakeAgent agent) = await FakeAgent.StartAsync();
        await using (channel)
        await using (agent)
        {
            await using GuestStream stuck = channel.OpenStream(GuestPort.Bulk, GuestStreamTests.Exec("yes"));
            await stuck.GetStartedAsync().Within();
            await Task.WhenAll(Enumerable.Range(0, 50).Select(async _ =>
            {
                const long Length = 1_000_000;
                await using GuestStream stream = channel.OpenStream(GuestPort.Bulk, new OpenRequest { Op = Operations.Source, Length = Length });
                long count = 0;
                var buffer = new byte[5_000];
                while (await stream.ReadAsync(buffer) is { Count: > 0 } read)
                {
                    Assert.True(IsSource(buffer.AsSpan(0, read.Count), count));
                    count += read.Count;
                }

                Assert.Equal(Length, count);
                await stream.GetResultAsync(ProtocolJsonContext.Default.FileResult);
            })).Within();

            // The stuck one has its window and no more; then it goes on as it is read.
            long pending = 0;
            while (pending < 4L * ProtocolConstants.CreditWindow)
            {
                using GuestData data = await stuck.ReadAsync().Within();
                pending += data.Bytes.Length;
            }
        }
    }

    [Fact]
    public async Task Credit_ForTheAgent_IsExactAndComesHalfAWindowAtATime()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenReadyAsync();
        await using (channel)
        await using (peer)
        {
            const int Half = ProtocolConstants.CreditWindow / 2;
            await using GuestStream stream = channel.OpenStream(GuestPort.Bulk, GuestStreamTests.Exec("x"));
            Assert.Equal(FrameType.Open, (await peer.ReceiveAsync(GuestPort.Bulk)).Type);
            await peer.SendWindowAsync(stream.Id);
            int read = 0;
            var buffer = new byte[1_000];
            while (read < Half)
            {
                read += (await stream.ReadAsync(buffer).Within()).Count;
            }

            ReceivedFrame credit = await peer.ReceiveAsync(GuestPort.Bulk);
            Assert.Equal((FrameType.Credit, stream.Id), (credit.Type, credit.StreamId));
            Assert.Equal(read, BitConverter.ToInt32(credit.Payload));

            // Exactly that much may come again.
            for (int left = read; left > 0; left -= Math.Min(left, 10_000))
            {
                await peer.SendAsync(GuestPort.Bulk, FrameType.Data, stream.Id, new byte[Math.Min(left, 10_000)]);
            }

            await channel.PingedByAsync(peer);
            await peer.SendTextAsync(GuestPort.Bulk, FrameType.Result, stream.Id, "{}");
            await stream.GetResultAsync(ProtocolJsonContext.Default.FileResult).Within();
            Assert.Null(channel.Failure);
        }
    }

    [Fact]
    public async Task Write_WithoutCredit_StopsAtTheWindowAndGoesOnByExactlyTheCredit()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenReadyAsync();
        await using (channel)
        await using (peer)
        {
            await using GuestStream stream = channel.OpenStream(GuestPort.Bulk, GuestStreamTests.Exec("x"));
            await peer.ReceiveAsync(GuestPort.Bulk);
            Task<bool> write = stream.WriteAsync(new byte[ProtocolConstants.CreditWindow + 1_000]).AsTask();
            Assert.Equal(ProtocolConstants.CreditWindow, await ReceiveDataAsync(peer, ProtocolConstants.CreditWindow));
            Assert.False(write.IsCompleted);

            await peer.SendCreditAsync(GuestPort.Bulk, stream.Id, 999);
            Assert.Equal(999, await ReceiveDataAsync(peer, 999));
            Assert.False(write.IsCompleted);

            await peer.SendCreditAsync(GuestPort.Bulk, stream.Id, 1);
            Assert.Equal(1, await ReceiveDataAsync(peer, 1));
            Assert.True(await write.Within());
            await stream.CompleteWritesAsync();
            Assert.Equal(FrameType.End, (await peer.ReceiveAsync(GuestPort.Bulk)).Type);
        }
    }

    private static async Task<int> ReceiveDataAsync(AgentPeer peer, int wanted)
    {
        int count = 0;
        while (count < wanted)
        {
            ReceivedFrame frame = await peer.ReceiveAsync(GuestPort.Bulk);
            Assert.Equal(FrameType.Data, frame.Type);
            count += frame.Payload.Length;
        }

        return count;
    }

    private static bool IsSource(ReadOnlySpan<byte> bytes, long offset)
    {
        for (int i = 0; i < bytes.Length; i++)
        {
            if (bytes[i] != FakeAgent.SourceByte(offset + i))
            {
                return false;
            }
        }

        return true;
    }
}
