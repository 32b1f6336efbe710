using System.Buffers.Binary;
using System.Security.Cryptography;
using FsCheck;
using FsCheck.Fluent;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Compression;
using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.Snapshots;
using OpenSandbox.Vmm.Tests.Compression;

namespace OpenSandbox.Vmm.Tests.Snapshots;

public sealed class MemoryFileTests : IDisposable
{
    private const int Page = 4096;

    private readonly SafeFileHandle _file = UnnamedFile.Create(Path.GetTempPath());

    public void Dispose() => _file.Dispose();

    [Fact]
    public void Runs_OfAnyKind_ComeBackWhereTheyWere()
    {
        var property = Prop.ForAll(
            (from ram in Gen.Choose(1, 300)
             from plugged in Gen.Choose(0, 300)
             from kinds in Gen.Choose(0, 3).ArrayOf(ram + plugged)
             from seed in Gen.Choose(0, 10_000)
             from pieces in Gen.Choose(1, 40)
             select (ram, plugged, kinds, seed, pieces)).ToArbitrary(),
            c =>
            {
                var layout = new MemoryFileLayout(c.ram * (long)Page, c.plugged * (long)Page);
                var expected = new RecordingTarget(layout);
                RandomAccess.SetLength(_file, 0);
                MemoryFileSummary written = Write(layout, expected, c.kinds, c.seed, c.pieces);
                var actual = new RecordingTarget(layout);
                MemoryFileSummary read = MemoryFileReader.Read(_file, written.Bytes, layout, written.Sha256, actual, CancellationToken.None);

                return read == written && expected.Ram.AsSpan().SequenceEqual(actual.Ram) && expected.Plugged.AsSpan().SequenceEqual(actual.Plugged);
            });
        Check.One(Config.QuickThrowOnFailure.WithMaxTest(300), property);
    }

    [Fact]
    public void Finish_LengthAndHash_AreThoseOfTheFile()
    {
        MemoryFileSummary summary = WriteSmall();

        byte[] stored = Stored();
        Assert.Equal(stored.Length, summary.Bytes);
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(stored)), summary.Sha256);
        Assert.Equal(4, summary.Pages);
    }

    [Fact]
    public async Task File_IsReadByTheTool()
    {
        MemoryFileSummary summary = WriteSmall();

        byte[] content = await Frames.RunToolAsync(["-d", "-c"], Stored());

        Assert.Equal(summary.UncompressedBytes, content.Length);
        Assert.StartsWith("OSBOXMEM", System.Text.Encoding.ASCII.GetString(content), StringComparison.Ordinal);
    }

    [Fact]
    public void ZeroPages_TakeNoRoomAndReplaceWhatWasThere()
    {
        var layout = new MemoryFileLayout(64 << 20, 0);
        using var writer = new MemoryFileWriter(_file);
        writer.BeginRegion(MemoryFileRegion.Ram, layout.RamBytes);
        for (int at = 0; at < 64; at++)
        {
            writer.Add((long)at << 20, new byte[1 << 20]);
        }

        MemoryFileSummary summary = writer.Finish();
        var target = new RecordingTarget(layout);
        MemoryFileReader.Read(_file, summary.Bytes, layout, summary.Sha256, target, CancellationToken.None);

        Assert.Equal(24 * 4, summary.UncompressedBytes); // the zeros of 64 calls are one run
        Assert.Equal(16_384, summary.ZeroPages);
        Assert.False(target.Ram.AsSpan().ContainsAnyExcept((byte)0));
    }

    [Fact]
    public void Read_ManySmallRuns_ReachTheTargetInFewBatches()
    {
        var layout = new MemoryFileLayout(16 << 20, 0);
        byte[] page = new byte[Page];
        page[7] = 1;
        using var writer = new MemoryFileWriter(_file);
        writer.BeginRegion(MemoryFileRegion.Ram, layout.RamBytes);
        for (int at = 0; at < 1_000; at++)
        {
            writer.Add(at * 4L * Page, page);
        }

        MemoryFileSummary summary = writer.Finish();
        var target = new RecordingTarget(layout);
        MemoryFileReader.Read(_file, summary.Bytes, layout, null, target, CancellationToken.None);

        Assert.InRange(target.Batches, 1, 6);
    }

    [Fact]
    public void Read_EverySingleBitFlipped_IsRefused()
    {
        WriteSmall();
        byte[] stored = Stored();
        for (int bit = 0; bit < stored.Length * 8; bit++)
        {
            byte[] flipped = [.. stored];
            flipped[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.Throws<MemoryFileException>(() => ReadBytes(flipped));
        }
    }

    [Fact]
    public void Read_CutAnywhereOrLonger_IsRefused()
    {
        WriteSmall();
        byte[] stored = Stored();
        for (int length = 0; length < stored.Length; length++)
        {
            Assert.Throws<MemoryFileException>(() => ReadBytes(stored[..length]));
        }

        Assert.Contains("1 bytes follow its end", Refusal(() => ReadBytes([.. stored, 0])), StringComparison.Ordinal);
        Assert.Throws<MemoryFileException>(() => ReadBytes([.. stored, .. stored]));
    }

    [Fact]
    public void Read_ContentOfAnyBytes_IsRefusedAndWritesNothingOutside() => Check.One(
        Config.QuickThrowOnFailure.WithMaxTest(2_000),
        Prop.ForAll(
            (from edits in Gen.Zip(Gen.Choose(0, 11_000), Gen.Elements<byte>(0, 1, 2, 3, 4, 0x7F, 0x80, 0xFF)).ArrayOf()
             from cut in Gen.Choose(0, 40_000)
             select (edits, cut)).ToArbitrary(),
            c =>
            {
                byte[] content = Content();
                byte[] spoiled = [.. content];
                foreach ((int at, byte value) in c.edits)
                {
                    // Records, not pages: flipping those is what checksums are for.
                    spoiled[at % 2 == 0 ? at / 2 % 72 : spoiled.Length - 1 - (at / 2 % 48)] = value;
                }

                spoiled = spoiled[..Math.Min(spoiled.Length, Math.Max(1, c.cut))];
                bool same = content.AsSpan().SequenceEqual(spoiled);
                try
                {
                    ReadBytes(Frames.Compress(spoiled)); // RecordingTarget throws something else when a write is out of bounds
                    return true;
                }
                catch (MemoryFileException)
                {
                    return !same;
                }
            }));

    [Theory]
    [InlineData(0, 1, "does not begin as")]
    [InlineData(8, 9, "version")]
    [InlineData(12, 9, "page size")]
    [InlineData(16, 1, "header is not valid")]
    [InlineData(24, 9, "names a region")]
    [InlineData(28, 9, "unknown region")]
    [InlineData(28, 2, "region Plugged has")]
    [InlineData(32, 1, "region Ram has")]
    [InlineData(40, 1, "region Ram has")]
    [InlineData(48, 9, "unknown kind")]
    [InlineData(52, 1, "names a region")]
    [InlineData(56, 0x40, "a run of 1 pages from page 64 is not valid")]
    [InlineData(63, 0x80, "is not valid")]
    [InlineData(64, 0, "a run of 0 pages")]
    [InlineData(64, 0xFF, "a run of 255 pages")]
    [InlineData(71, 0x80, "is not valid")]
    [InlineData(71, 0x7F, "is not valid")]
    public void Read_OneWrongField_IsNamed(int offset, byte value, string named)
    {
        byte[] content = Content();
        content[offset] = value;

        Assert.Contains(named, Refusal(() => ReadBytes(Frames.Compress(content))), StringComparison.Ordinal);
    }

    [Fact]
    public void Read_WrongOrderCountsOrTail_IsNamed()
    {
        byte[] content = Content();
        byte[] end = content[^24..];
        byte[] region = content[24..48];
        BinaryPrimitives.WriteInt64LittleEndian(end.AsSpan(8), 7);

        Assert.Contains("its end counts 7", Refusal(() => ReadBytes(Frames.Compress([.. content[..^24], .. end]))), StringComparison.Ordinal);
        Assert.Contains(
            "another checksum",
            Refusal(() => ReadBytes(Frames.Compress([.. content[..^25], (byte)(content[^25] ^ 1), .. content[^24..]]))),
            StringComparison.Ordinal);
        Assert.Contains("follows its end mark", Refusal(() => ReadBytes(Frames.Compress([.. content, 1]))), StringComparison.Ordinal);
        Assert.Contains("content ends early", Refusal(() => ReadBytes(Frames.Compress(content.AsSpan(..^24)))), StringComparison.Ordinal);
        Assert.Contains("stands twice", Refusal(() => ReadBytes(Frames.Compress([.. content[..48], .. region]))), StringComparison.Ordinal);
        Assert.Contains(
            "next may be page 0 of 0",
            Refusal(() => ReadBytes(Frames.Compress([.. content[..24], .. content[48..72]]))),
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task Verify_OfTheFile_SeesHashAndLengthThatDiffer()
    {
        MemoryFileSummary summary = WriteSmall();
        string other = new('0', 64);

        Assert.Equal(summary, await MemoryFileReader.VerifyAsync(_file, summary.Bytes, s_small, summary.Sha256, CancellationToken.None));
        MemoryFileException refused = await Assert.ThrowsAsync<MemoryFileException>(
            () => MemoryFileReader.VerifyAsync(_file, summary.Bytes, s_small, other, CancellationToken.None));
        Assert.Contains($"where {other} was expected", refused.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<MemoryFileException>(
            () => MemoryFileReader.VerifyAsync(_file, summary.Bytes - 1, s_small, null, CancellationToken.None));
    }

    [Fact]
    public void Read_Cancelled_Stops() => Assert.Throws<OperationCanceledException>(
        () => MemoryFileReader.Read(_file, WriteSmall().Bytes, s_small, null, new RecordingTarget(s_small), new CancellationToken(canceled: true)));

    [Fact]
    public void Read_TargetFails_ItsExceptionReachesTheCaller() => Assert.Throws<TimeoutException>(
        () => MemoryFileReader.Read(_file, WriteSmall().Bytes, s_small, null, new FailingTarget(), CancellationToken.None));

    [Fact]
    public void Add_OutsideUnalignedOrBackwards_IsRefused()
    {
        using var writer = new MemoryFileWriter(_file);
        Assert.Throws<ArgumentOutOfRangeException>(() => writer.Add(0, new byte[Page])); // no region yet
        writer.BeginRegion(MemoryFileRegion.Ram, 4 * Page);
        writer.Add(Page, new byte[Page]);

        Assert.Throws<ArgumentOutOfRangeException>(() => writer.Add(Page, new byte[Page]));
        Assert.Throws<ArgumentOutOfRangeException>(() => writer.Add((2 * Page) + 1, new byte[Page]));
        Assert.Throws<ArgumentOutOfRangeException>(() => writer.Add(2 * Page, new byte[100]));
        Assert.Throws<ArgumentOutOfRangeException>(() => writer.Add(3 * Page, new byte[2 * Page]));
        Assert.Throws<ArgumentOutOfRangeException>(() => writer.BeginRegion(MemoryFileRegion.Ram, 4 * Page));
        writer.Finish();
        Assert.Throws<InvalidOperationException>(() => writer.Add(2 * Page, new byte[Page]));
    }

    private static readonly MemoryFileLayout s_small = new(8 * Page, 4 * Page);

    /// <summary>One data page, two zero pages, one data page in the other region.</summary>
    private MemoryFileSummary WriteSmall()
    {
        byte[] pages = new byte[3 * Page];
        new Random(5).NextBytes(pages.AsSpan(0, 200));
        using var writer = new MemoryFileWriter(_file);
        writer.BeginRegion(MemoryFileRegion.Ram, s_small.RamBytes);
        writer.Add(2 * Page, pages);
        writer.BeginRegion(MemoryFileRegion.Plugged, s_small.PluggedBytes);
        writer.Add(3 * Page, pages.AsSpan(0, Page));
        return writer.Finish();
    }

    /// <summary>header 0, region 24, data 48 (its page 72), zero, region, data with page, end.</summary>
    private byte[] Content()
    {
        RandomAccess.SetLength(_file, 0);
        MemoryFileSummary summary = WriteSmall();
        return Frames.Decompress(Stored(), summary.UncompressedBytes);
    }

    private byte[] Stored()
    {
        byte[] stored = new byte[RandomAccess.GetLength(_file)];
        Assert.Equal(stored.Length, RandomAccess.Read(_file, stored, 0));
        return stored;
    }

    private static string Refusal(Action read) => Assert.Throws<MemoryFileException>(read).Message;

    private void ReadBytes(byte[] stored)
    {
        RandomAccess.SetLength(_file, 0);
        RandomAccess.Write(_file, stored, 0);
        MemoryFileReader.Read(_file, stored.Length, s_small, null, new RecordingTarget(s_small), CancellationToken.None);
    }

    /// <summary>Kinds of pages: 0 unchanged, 1 zero, 2 text-like, 3 random.</summary>
    private MemoryFileSummary Write(MemoryFileLayout layout, RecordingTarget expected, int[] kinds, int seed, int pieces)
    {
        var random = new Random(seed);
        int ram = (int)(layout.RamBytes / Page);
        using var writer = new MemoryFileWriter(_file);
        foreach ((MemoryFileRegion region, byte[] memory, int[] of) in new[]
        {
            (MemoryFileRegion.Ram, expected.Ram, kinds[..ram]),
            (MemoryFileRegion.Plugged, expected.Plugged, kinds[ram..]),
        })
        {
            if (of.Length == 0)
            {
                continue;
            }

            writer.BeginRegion(region, memory.Length);
            for (int page = 0; page < of.Length;)
            {
                int count = 0;
                while (page + count < of.Length && of[page + count] != 0 && count < pieces)
                {
                    Span<byte> content = memory.AsSpan((page + count) * Page, Page);
                    switch (of[page + count])
                    {
                        case 1:
                            content.Clear();
                            break;
                        case 2:
                            content.Fill((byte)random.Next(1, 256));
                            break;
                        default:
                            random.NextBytes(content);
                            break;
                    }

                    count++;
                }

                if (count > 0)
                {
                    writer.Add(page * (long)Page, memory.AsSpan(page * Page, count * Page));
                }

                page += Math.Max(count, 1);
            }
        }

        return writer.Finish();
    }

    private sealed class FailingTarget : IMemoryTarget
    {
        public void Write(MemoryFileRegion region, long offset, ReadOnlySpan<byte> data) => throw new TimeoutException();
    }
}
