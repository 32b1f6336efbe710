namespace OpenSandbox.VirtioSerial.Tests;

/// <summary>What a guest sends is bounded before it is buffered. The memory of the whole process is read, so these run alone.</summary>
[Collection("Measurements")]
public sealed class BoundedMemoryTests
{
    [Fact]
    public async Task Data_OfSingleBytesOnAlternatingChannels_StaysBoundedInMemory()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenReadyAsync();
        await using (channel)
        await using (peer)
        {
            await using GuestStream stream = channel.OpenStream(GuestPort.Bulk, GuestStreamTests.Exec("x"));
            byte[] pair = [.. peer.Frame(FrameType.Data, stream.Id, "o"u8, 1), .. peer.Frame(FrameType.Data, stream.Id, "e"u8, 2)];
            byte[] burst = [.. Enumerable.Repeat(pair, 1_024).SelectMany(bytes => bytes)];
            long before = GC.GetTotalMemory(forceFullCollection: true);
            for (int i = 0; i < ProtocolConstants.CreditWindow / 2_048; i++)
            {
                await peer.SendRawAsync(GuestPort.Bulk, burst);
            }

            await peer.SendTextAsync(GuestPort.Bulk, FrameType.Result, stream.Id, "{}");
            await stream.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage).Within();
            Assert.InRange(GC.GetTotalMemory(forceFullCollection: true) - before, long.MinValue, 8 * 1_048_576);

            long count = 0;
            while (true)
            {
                using GuestData data = await stream.ReadAsync().Within();
                if (data.IsEnd)
                {
                    break;
                }

                count += data.Bytes.Length;
            }

            Assert.Equal(ProtocolConstants.CreditWindow, count);
        }
    }
}
