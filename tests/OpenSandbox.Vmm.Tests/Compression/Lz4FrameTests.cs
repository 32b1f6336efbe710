using System.Diagnostics;
using OpenSandbox.Vmm.Compression;

namespace OpenSandbox.Vmm.Tests.Compression;

public sealed class Lz4FrameTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(Lz4Frame.BlockSize - 1)]
    [InlineData(Lz4Frame.BlockSize)]
    [InlineData(Lz4Frame.BlockSize + 1)]
    [InlineData(3_000_000)]
    public void Frame_OfAnyLength_ComesBackAndBeginsWithTheFixedHeader(int length)
    {
        byte[] content = Mixed(length, seed: length);

        byte[] frame = Frames.Compress(content);

        Assert.True(frame.AsSpan().StartsWith(Lz4Frame.Header));
        Assert.Equal(content, Frames.Decompress(frame, length));
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(7, 3)]
    [InlineData(1_000, 100_000)]
    [InlineData(100_000, 1_000)]
    public void Decompress_InPiecesOfAnySize_GivesTheSameContent(int sourcePiece, int destinationPiece)
    {
        byte[] content = Mixed(300_000, seed: 1);

        Assert.Equal(content, Frames.Decompress(Frames.Compress(content), content.Length, sourcePiece, destinationPiece));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(99_999)]
    public void Decompress_MoreThanExpected_IsRefused(int expected)
    {
        byte[] frame = Frames.Compress(new byte[100_000]);

        Lz4FormatException refused = Assert.Throws<Lz4FormatException>(() => Frames.Decompress(frame, expected));
        Assert.Contains($"more content than the {expected} bytes", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Decompress_Bomb_IsRefusedAfterTheFirstBytesTooMany()
    {
        byte[] frame = Frames.Compress(new byte[200 << 20]);
        using var decompressor = new Lz4FrameDecompressor(maxContent: 1 << 20);
        byte[] destination = new byte[4 << 20];
        int consumed = 0;

        Assert.Throws<Lz4FormatException>(() =>
        {
            while (!decompressor.Ended)
            {
                decompressor.Decompress(frame.AsSpan(consumed), destination, out int used);
                consumed += used;
            }
        });
        Assert.Equal(1 << 20, decompressor.ContentLength);
        Assert.InRange(consumed, 0, frame.Length / 20);
    }

    [Theory]
    [InlineData("-B4 -BX")]
    [InlineData("-B7 -BX")]
    [InlineData("-B5")]
    [InlineData("-B5 -BX -BD")]
    [InlineData("-B5 -BX")]
    [InlineData("-l")]
    public async Task Decompress_FrameOfAnotherShape_IsRefused(string options)
    {
        byte[] frame = await Frames.RunToolAsync(["-c", .. options.Split(' ')], Mixed(1_000_000, seed: 2));

        Lz4FormatException refused = Assert.Throws<Lz4FormatException>(() => Frames.Decompress(frame, 1_000_000));
        Assert.Contains("another shape", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Frames_AreReadByTheTool_AndTheToolsAreReadHere()
    {
        byte[] content = Mixed(1_000_000, seed: 3);

        Assert.Equal(content, await Frames.RunToolAsync(["-d", "-c"], Frames.Compress(content)));
        Assert.Equal(content, Frames.Decompress(await Frames.RunToolAsync(["-c", "-B5", "-BX", "--no-frame-crc"], content), content.Length));
    }

    [Fact]
    public void Decompress_EverySingleBitFlipped_IsRefusedOrGivesAnotherLength()
    {
        byte[] content = Mixed(2_000, seed: 4);
        byte[] frame = Frames.Compress(content);
        int refused = 0;
        for (int bit = 0; bit < frame.Length * 8; bit++)
        {
            byte[] flipped = [.. frame];
            flipped[bit / 8] ^= (byte)(1 << (bit % 8));
            try
            {
                // "stored as it is" is the one bit that no checksum of the frame covers
                Assert.NotEqual(content.Length, Frames.Decompress(flipped, content.Length).Length);
                Assert.Equal((Lz4Frame.Header.Length * 8) + 31, bit);
            }
            catch (Lz4FormatException)
            {
                refused++;
            }
        }

        Assert.InRange(refused, (frame.Length * 8) - 1, frame.Length * 8);
    }

    [Fact]
    public void Decompress_AfterAFailure_FailsTheSameWay()
    {
        using var decompressor = new Lz4FrameDecompressor(maxContent: 10);
        Lz4FormatException first = Assert.Throws<Lz4FormatException>(() => decompressor.Decompress("not a frame"u8, new byte[10], out _));

        Assert.Same(first, Assert.Throws<Lz4FormatException>(() => decompressor.Decompress(Lz4Frame.Header, new byte[10], out _)));
    }

    private static byte[] Mixed(int length, int seed)
    {
        byte[] content = new byte[length];
        var random = new Random(seed);
        for (int at = 0; at < length; at += 1_000)
        {
            Span<byte> part = content.AsSpan(at, Math.Min(1_000, length - at));
            if (random.Next(3) == 0)
            {
                random.NextBytes(part);
            }
            else
            {
                part.Fill((byte)random.Next(256));
            }
        }

        return content;
    }
}

/// <summary>Whole frames at once, for tests.</summary>
internal static class Frames
{
    internal static byte[] Compress(ReadOnlySpan<byte> content)
    {
        using var compressor = new Lz4FrameCompressor();
        var frame = new MemoryStream();
        byte[] output = new byte[Lz4FrameCompressor.MaxOutput];
        frame.Write(output, 0, compressor.Begin(output));
        while (!content.IsEmpty)
        {
            int length = Math.Min(content.Length, Lz4FrameCompressor.MaxInput);
            frame.Write(output, 0, compressor.Compress(content[..length], output));
            content = content[length..];
        }

        frame.Write(output, 0, compressor.End(output));
        return frame.ToArray();
    }

    internal static byte[] Decompress(
        ReadOnlySpan<byte> frame, long maxContent, int sourcePiece = int.MaxValue, int destinationPiece = 1 << 20)
    {
        using var decompressor = new Lz4FrameDecompressor(maxContent);
        var content = new MemoryStream();
        byte[] output = new byte[destinationPiece];
        while (!decompressor.Ended)
        {
            int written = decompressor.Decompress(frame[..Math.Min(frame.Length, sourcePiece)], output, out int consumed);
            if (frame.IsEmpty)
            {
                throw new Lz4FormatException("ended early");
            }

            content.Write(output, 0, written);
            frame = frame[consumed..];
        }

        return frame.IsEmpty ? content.ToArray() : throw new Lz4FormatException("followed by something");
    }

    internal static async Task<byte[]> RunToolAsync(string[] arguments, byte[] input)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        var start = new ProcessStartInfo("lz4", arguments) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        using Process tool = Process.Start(start)!;
        Task feed = Task.Run(
            async () =>
            {
                await tool.StandardInput.BaseStream.WriteAsync(input, deadline.Token);
                tool.StandardInput.Close();
            },
            deadline.Token);
        var output = new MemoryStream();
        Task<string> errors = tool.StandardError.ReadToEndAsync(deadline.Token);
        await tool.StandardOutput.BaseStream.CopyToAsync(output, deadline.Token);
        await feed;
        await tool.WaitForExitAsync(deadline.Token);
        Assert.True(tool.ExitCode == 0, await errors);
        return output.ToArray();
    }
}
