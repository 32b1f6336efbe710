using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent.Tests;

public sealed class FrameSourceTests
{
    private const ulong First = 0x1_0000_0011;
    private const ulong Second = 0x2_0000_0022;
    private const ulong Third = 0x3_0000_0033;

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(4096)]
    public void Next_AnyPieces_FindsSessionFramesAndNextSession(int piece)
    {
        byte[] bytes =
        [
            .. "noise"u8, .. Preamble(First), .. Ping(First, "one"u8), .. Ping(First, ""u8),
            .. Preamble(Second), .. Ping(Second, "two"u8),
        ];

        Assert.Equal(["preamble 17", "one", "", "preamble 34", "two"], Drain(bytes, piece));
    }

    [Fact]
    public void Next_CutFrameAndPadding_RecoversAtPreamble()
    {
        byte[] bytes =
        [
            .. Preamble(First), .. Ping(First, "lost"u8)[..9], .. new byte[ProtocolConstants.ReconnectPaddingSize],
            .. Preamble(Second), .. Ping(Second, "two"u8),
        ];

        Assert.Equal(["preamble 17", "broken", "preamble 34", "two"], Drain(bytes, 4096));
    }

    [Fact]
    public void Next_Garbage_NeverYieldsFramesNorFills()
    {
        byte[] garbage = new byte[1_000_000];
        new Random(11).NextBytes(garbage);
        Assert.Equal(["preamble 17", "broken"], Drain([.. Preamble(First), .. garbage], 4096));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(31)]
    [InlineData(4096)]
    public void Reset_ExpectedSession_PassesOthersInTheContentBy(int piece)
    {
        byte[] forged = [.. Enumerable.Repeat(Preamble(Second), 2_000).SelectMany(static bytes => bytes)];
        byte[] bytes = [.. Ping(First, "lost"u8)[..9], .. forged, .. new byte[ProtocolConstants.ReconnectPaddingSize], .. Preamble(Third), .. Ping(Third, "on"u8)];
        var source = new FrameSource();
        source.Reset(Third);

        Assert.Equal(["preamble 51", "on"], Drain(bytes, piece, source));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(64_000)]
    public void Reset_SessionThatWasPassedByJustNow_IsFoundAgainWithWhatFollowedIt(int between)
    {
        var source = new FrameSource();
        source.Reset(First);
        byte[] payload = new byte[between % ProtocolConstants.MaxPayloadSize];
        Assert.Empty(Drain([.. "noise"u8, .. Preamble(Second), .. Ping(Second, "one"u8), .. payload.Length > 0 ? Ping(Second, payload) : []], 4096, source));
        source.Reset(Second);

        List<string> seen = Drain([], 4096, source);
        Assert.Equal(["preamble 34", "one"], seen[..2]);
    }

    [Fact]
    public void Search_ForASessionThatDoesNotCome_NeverFills()
    {
        byte[] forged = [.. Enumerable.Repeat(Preamble(Second), 40_000).SelectMany(static bytes => bytes)];
        var source = new FrameSource();
        source.Reset(First);
        Assert.Empty(Drain([.. Preamble(Second), .. new byte[500_000], .. forged], 4096, source));
        Assert.Equal(["preamble 17"], Drain(Preamble(First), 7, source));
    }

    private static List<string> Drain(byte[] bytes, int piece, FrameSource? from = null)
    {
        FrameSource source = from ?? new FrameSource();
        var seen = new List<string>();
        Take(source, seen);
        for (int at = 0; at < bytes.Length;)
        {
            Span<byte> room = source.Room;
            Assert.False(room.IsEmpty);
            int count = Math.Min(Math.Min(piece, room.Length), bytes.Length - at);
            bytes.AsSpan(at, count).CopyTo(room);
            source.Advance(count);
            at += count;
            Take(source, seen);
        }

        return seen;
    }

    private static void Take(FrameSource source, List<string> seen)
    {
        FrameSourceStatus status;
        while ((status = source.Next(out _, out ReadOnlySpan<byte> payload, out Preamble preamble)) != FrameSourceStatus.NeedMoreData)
        {
            seen.Add(status switch
            {
                FrameSourceStatus.Frame => System.Text.Encoding.ASCII.GetString(payload),
                FrameSourceStatus.Preamble => $"preamble {preamble.SessionTag}",
                _ => "broken",
            });
        }
    }

    private static byte[] Preamble(ulong epoch)
    {
        byte[] bytes = new byte[ProtocolConstants.PreambleSize];
        new Preamble(epoch, 1).Write(bytes);
        return bytes;
    }

    private static byte[] Ping(ulong epoch, ReadOnlySpan<byte> payload)
    {
        byte[] frame = new byte[ProtocolConstants.HeaderSize + payload.Length + ProtocolConstants.TrailerSize];
        payload.CopyTo(frame.AsSpan(ProtocolConstants.HeaderSize));
        FrameWriter.Seal(frame, FrameType.Ping, 0, 0, (uint)epoch, payload.Length);
        return frame;
    }
}
