using System.Buffers.Binary;
using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Archives;
using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.Storage;
using OpenSandbox.Vmm.Tests.Compression;

namespace OpenSandbox.Vmm.Tests.Archives;

public sealed class ArchiveTests : IDisposable
{
    private static readonly byte[] s_manifest = """{"id":"sb-1"}"""u8.ToArray();

    private readonly string _directory = Directory.CreateTempSubdirectory("opensandbox-archive-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task Archive_OfRandomContent_ComesBack()
    {
        var random = new Random(21);
        for (int round = 0; round < 60; round++)
        {
            (string Name, byte[] Content)[] entries = RandomEntries(random);
            byte[] manifest = new byte[random.Next(5_000)];
            random.NextBytes(manifest);
            byte[] archive = await WriteAsync(manifest, entries, streamed: random.Next(2) == 0);

            using ArchiveReader reader = await ArchiveReader.OpenAsync(new Trickle(archive, random), new ArchiveLimits(), CancellationToken.None);
            Assert.Equal(manifest, reader.Manifest.ToArray());
            foreach ((string name, byte[] content) in entries)
            {
                Assert.Equal(name, await reader.NextAsync(CancellationToken.None));
                if (random.Next(3) != 0) // the others are passed over
                {
                    using SafeFileHandle target = UnnamedFile.Create(_directory);
                    ArchiveEntry entry = await reader.ExtractAsync(target, CancellationToken.None);
                    Assert.Equal((name, content.Length, Convert.ToHexStringLower(SHA256.HashData(content))), (entry.Name, entry.Length, entry.Sha256));
                    Assert.Equal(content, Content(target));
                }
            }

            Assert.Null(await reader.NextAsync(CancellationToken.None));
            Assert.Equal(archive.Length, reader.Summary.Bytes);
            Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(archive.AsSpan(..^32))), reader.Summary.Sha256);
        }
    }

    [Fact]
    public async Task Read_OneBitFlippedAnywhere_IsRefused()
    {
        byte[] archive = await SmallAsync();
        var random = new Random(22);
        for (int round = 0; round < 3_000; round++)
        {
            byte[] flipped = [.. archive];
            int bit = round < 1_000 ? round : random.Next(archive.Length * 8);
            flipped[bit / 8] ^= (byte)(1 << (bit % 8));
            await Assert.ThrowsAsync<ArchiveException>(() => ReadAsync(flipped));
        }
    }

    [Fact]
    public async Task Read_DamageOfAnyKind_IsRefused()
    {
        byte[] archive = await SmallAsync();
        var random = new Random(23);
        for (int round = 0; round < 1_000; round++)
        {
            byte[] damaged = [.. archive];
            int at = random.Next(damaged.Length), length = random.Next(1, Math.Min(64, damaged.Length - at) + 1);
            switch (random.Next(4))
            {
                case 0:
                    random.NextBytes(damaged.AsSpan(at, length));
                    break;
                case 1:
                    damaged = [.. damaged[..at], .. damaged[(at + length)..]];
                    break;
                case 2:
                    damaged = [.. damaged[..at], .. damaged[at..(at + length)], .. damaged[at..]];
                    break;
                default:
                    BinaryPrimitives.WriteInt64LittleEndian(damaged.AsSpan(Math.Min(at, damaged.Length - 8)), random.NextInt64());
                    break;
            }

            if (!damaged.AsSpan().SequenceEqual(archive))
            {
                await Assert.ThrowsAsync<ArchiveException>(() => ReadAsync(damaged));
            }
        }
    }

    [Fact]
    public async Task Read_CutAnywhereOrLonger_IsRefused()
    {
        byte[] archive = await SmallAsync();
        for (int length = 0; length < archive.Length; length += length < 300 || length > archive.Length - 600 ? 1 : 37)
        {
            await Assert.ThrowsAsync<ArchiveException>(() => ReadAsync(archive[..length]));
        }

        ArchiveException refused = await Assert.ThrowsAsync<ArchiveException>(() => ReadAsync([.. archive, 0]));
        Assert.Contains("follows its trailer", refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("../../etc/passwd")]
    [InlineData("/etc/passwd")]
    [InlineData("layers/../x.qcow2")]
    [InlineData("layers/..qcow2")]
    [InlineData("layers/.qcow2")]
    [InlineData("layers/a/b.qcow2")]
    [InlineData("layers/A.qcow2")]
    [InlineData("layers/-a.qcow2")]
    [InlineData("layers/a.qcow2\0")]
    [InlineData("layers/a.qcow2/")]
    [InlineData("layers/é.qcow2")]
    [InlineData("layers/a")]
    [InlineData("")]
    [InlineData("Memory")]
    [InlineData("layers/0123456789012345678901234567890123456789012345678901234567890123x.qcow2")]
    public async Task Name_ThatIsNotOneOfOurs_IsNeitherWrittenNorRead(string name)
    {
        await Assert.ThrowsAsync<ArgumentException>(() => WriteAsync(s_manifest, [(name, [1])], streamed: false));

        ArchiveException refused = await Assert.ThrowsAsync<ArchiveException>(() => ReadAsync(Forge((name, [1]))));
        Assert.Contains("name", refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("memory", "device-state")]
    [InlineData("memory", "memory")]
    [InlineData("layers/a.qcow2", "memory")]
    [InlineData("layers/a.qcow2", "layers/a.qcow2")]
    public async Task Names_TwiceOrInAnotherOrder_AreNeitherWrittenNorRead(string first, string second)
    {
        await Assert.ThrowsAsync<ArgumentException>(() => WriteAsync(s_manifest, [(first, [1]), (second, [2])], streamed: false));

        await Assert.ThrowsAsync<ArchiveException>(() => ReadAsync(Forge((first, [1]), (second, [2]))));
    }

    [Fact]
    public async Task Forge_OfAcceptedNames_IsRead() =>
        Assert.Equal(2, (await ReadAsync(Forge(("memory", [1]), ("layers/a.qcow2", [2])))).Entries.Count); // the tests above refuse for the name alone

    [Fact]
    public async Task Read_MoreThanTheLimits_IsRefusedBeforeItIsStored()
    {
        byte[] known = await WriteAsync(s_manifest, [("memory", new byte[50 << 20]), ("layers/a.qcow2", [1])], streamed: false);
        byte[] streamed = await WriteAsync(s_manifest, [("memory", new byte[50 << 20]), ("layers/a.qcow2", [1])], streamed: true);

        await RefusedAsync(known, new ArchiveLimits { EntryBytes = 1 << 20 }, "at most 1048576 are accepted");
        await RefusedAsync(streamed, new ArchiveLimits { EntryBytes = 1 << 20 }, "more content than the 1048576 bytes");
        await RefusedAsync(streamed, new ArchiveLimits { TotalBytes = 50 << 20 }, "more content than the 0 bytes");
        await RefusedAsync(known, new ArchiveLimits { Entries = 1 }, "more than 1 entries");
        await RefusedAsync(known, new ArchiveLimits { ManifestBytes = 5 }, "at most 5 are accepted");

        async Task RefusedAsync(byte[] archive, ArchiveLimits limits, string named)
        {
            using SafeFileHandle target = UnnamedFile.Create(_directory);
            ArchiveException refused = await Assert.ThrowsAsync<ArchiveException>(async () =>
            {
                using ArchiveReader reader = await ArchiveReader.OpenAsync(new MemoryStream(archive), limits, CancellationToken.None);
                await reader.NextAsync(CancellationToken.None);
                await reader.ExtractAsync(target, CancellationToken.None);
                Assert.Equal("layers/a.qcow2", await reader.NextAsync(CancellationToken.None));
                await reader.NextAsync(CancellationToken.None);
            });
            Assert.Contains(named, refused.Message, StringComparison.Ordinal);
            Assert.InRange(RandomAccess.GetLength(target), 0, limits.EntryBytes);
        }
    }

    [Fact]
    public async Task Extract_SparseFile_IsSmallInTheArchiveAndSparseAgain()
    {
        string path = Path.Combine(_directory, "layer");
        byte[] data = new byte[100_000];
        new Random(24).NextBytes(data);
        using SafeFileHandle source = File.OpenHandle(path, FileMode.CreateNew, FileAccess.ReadWrite);
        RandomAccess.SetLength(source, 200 << 20);
        RandomAccess.Write(source, data, 70L << 20);
        var archive = new MemoryStream();
        using (ArchiveWriter writer = await ArchiveWriter.StartAsync(archive, s_manifest, CancellationToken.None))
        {
            await writer.AddAsync(ArchiveNames.Layer("a"), source, 200 << 20, CancellationToken.None);
            await writer.FinishAsync(CancellationToken.None);
        }

        archive.Position = 0;
        using ArchiveReader reader = await ArchiveReader.OpenAsync(archive, new ArchiveLimits(), CancellationToken.None);
        await reader.NextAsync(CancellationToken.None);
        using SafeFileHandle target = UnnamedFile.Create(_directory);
        await reader.ExtractAsync(target, CancellationToken.None);
        Assert.Null(await reader.NextAsync(CancellationToken.None));

        Assert.InRange(archive.Length, 100_000, 1_100_000); // LZ4 takes 1/255 for zeros
        Assert.Equal(200 << 20, RandomAccess.GetLength(target));
        Assert.Equal(
            SparseDigest.Compute(source, 200 << 20, null, CancellationToken.None), SparseDigest.Compute(target, 200 << 20, null, CancellationToken.None));
        Assert.InRange(DataExtents.Of(target, 200 << 20, 4096).Sum(static extent => extent.End - extent.Start), 100_000, 400_000);
    }

    [Fact]
    public async Task Add_FileShorterThanSaid_FailsAndNothingElseIsWritten()
    {
        using SafeFileHandle source = UnnamedFile.Create(_directory);
        RandomAccess.Write(source, new byte[1_000], 0);
        using ArchiveWriter writer = await ArchiveWriter.StartAsync(new MemoryStream(), s_manifest, CancellationToken.None);

        await Assert.ThrowsAsync<EndOfStreamException>(() => writer.AddAsync("memory", source, 1_001, CancellationToken.None));
        await Assert.ThrowsAsync<InvalidOperationException>(() => writer.FinishAsync(CancellationToken.None));
    }

    [Fact]
    public async Task Read_AfterAFailure_CannotGoOn()
    {
        byte[] archive = await SmallAsync();
        archive[200] ^= 1;
        using ArchiveReader reader = await ArchiveReader.OpenAsync(new MemoryStream(archive), new ArchiveLimits(), CancellationToken.None);
        await Assert.ThrowsAsync<ArchiveException>(() => ToEndAsync(reader));

        await Assert.ThrowsAsync<InvalidOperationException>(() => reader.NextAsync(CancellationToken.None));
        Assert.Throws<InvalidOperationException>(() => reader.Summary);
    }

    [Fact]
    public async Task Publish_WhenFinished_IsThereUnderItsNameAlone()
    {
        string path = Path.Combine(_directory, "sandbox.osa");
        await File.WriteAllTextAsync(path, "what was there before");

        ArchiveSummary summary = await ArchiveFile.PublishAsync(
            path, s_manifest, null, (writer, stop) => writer.AddAsync("memory", new MemoryStream([1, 2, 3]), stop), CancellationToken.None);

        await using FileStream published = File.OpenRead(path);
        ArchiveSummary read = await ArchiveReader.VerifyAsync(published, new ArchiveLimits(), CancellationToken.None);
        Assert.Equal((summary.Bytes, summary.Sha256), (read.Bytes, read.Sha256));
        Assert.Equal(summary.Entries, read.Entries);
        Assert.Equal([path], Directory.GetFiles(_directory));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(path));
    }

    [Fact]
    public async Task Publish_FailedOrCancelled_LeavesTheOldFileAlone()
    {
        string path = Path.Combine(_directory, "sandbox.osa");
        await File.WriteAllTextAsync(path, "old");
        using var cancel = new CancellationTokenSource();

        await Assert.ThrowsAsync<TimeoutException>(
            () => ArchiveFile.PublishAsync(path, s_manifest, null, static (_, _) => throw new TimeoutException(), CancellationToken.None));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => ArchiveFile.PublishAsync(
            path,
            s_manifest,
            null,
            async (_, _) => await cancel.CancelAsync(),
            cancel.Token));

        Assert.Equal("old", await File.ReadAllTextAsync(path));
        Assert.Equal([path], Directory.GetFiles(_directory));
    }

    private static Task<byte[]> SmallAsync()
    {
        byte[] random = new byte[600];
        new Random(25).NextBytes(random);
        return WriteAsync(s_manifest, [("device-state", random), ("memory", new byte[100_000]), ("layers/a-1.qcow2", [])], streamed: false);
    }

    private static (string Name, byte[] Content)[] RandomEntries(Random random)
    {
        List<string> names = [];
        if (random.Next(2) == 0)
        {
            names.Add("device-state");
        }

        if (random.Next(2) == 0)
        {
            names.Add("memory");
        }

        for (int layer = random.Next(4); layer > 0; layer--)
        {
            names.Add(ArchiveNames.Layer($"ly-{layer}"));
        }

        return [.. names.Select(name =>
        {
            byte[] content = new byte[random.Next(3) switch { 0 => random.Next(10), 1 => random.Next(100_000), _ => random.Next(4_000_000) }];
            for (int at = 0; at + 5_000 < content.Length; at += random.Next(5_000, 300_000))
            {
                random.NextBytes(content.AsSpan(at, random.Next(5_000)));
            }

            return (name, content);
        })];
    }

    private static async Task<byte[]> WriteAsync(byte[] manifest, (string Name, byte[] Content)[] entries, bool streamed)
    {
        var archive = new MemoryStream();
        using ArchiveWriter writer = await ArchiveWriter.StartAsync(archive, manifest, CancellationToken.None);
        foreach ((string name, byte[] content) in entries)
        {
            if (streamed)
            {
                await writer.AddAsync(name, new MemoryStream(content), CancellationToken.None);
                continue;
            }

            using SafeFileHandle file = UnnamedFile.Create(Path.GetTempPath());
            RandomAccess.Write(file, content, 0);
            await writer.AddAsync(name, file, content.Length, CancellationToken.None);
        }

        ArchiveSummary summary = await writer.FinishAsync(CancellationToken.None);
        Assert.Equal(archive.Length, summary.Bytes);
        return archive.ToArray();
    }

    /// <summary>An archive that is right in everything except for its names, which the writer would not take.</summary>
    private static byte[] Forge(params (string Name, byte[] Content)[] entries)
    {
        var archive = new MemoryStream();
        archive.Write(ArchiveFormat.Header(s_manifest));
        archive.Write(s_manifest);
        List<ArchiveEntry> index = [];
        List<long> offsets = [];
        foreach ((string name, byte[] content) in entries)
        {
            byte[] hash = SHA256.HashData(content), frame = Frames.Compress(content);
            offsets.Add(archive.Position);
            archive.Write(ArchiveFormat.EntryHeader(name, (ulong)content.Length));
            archive.Write(frame);
            archive.Write(ArchiveFormat.EntryTail(content.Length, hash));
            index.Add(new ArchiveEntry(name, content.Length, frame.Length, Convert.ToHexStringLower(hash)));
        }

        byte[] trailer = ArchiveFormat.Trailer(archive.Position);
        archive.Write(ArchiveFormat.Index(index, offsets));
        archive.Write(trailer);
        archive.Write(SHA256.HashData(archive.ToArray()));
        return archive.ToArray();
    }

    private static async Task<ArchiveSummary> ReadAsync(byte[] archive)
    {
        using ArchiveReader reader = await ArchiveReader.OpenAsync(new MemoryStream(archive), new ArchiveLimits(), CancellationToken.None);
        return await ToEndAsync(reader);
    }

    private static async Task<ArchiveSummary> ToEndAsync(ArchiveReader reader)
    {
        while (await reader.NextAsync(CancellationToken.None) is not null)
        {
            using SafeFileHandle target = UnnamedFile.Create(Path.GetTempPath());
            await reader.ExtractAsync(target, CancellationToken.None);
        }

        return reader.Summary;
    }

    private static byte[] Content(SafeFileHandle file)
    {
        byte[] content = new byte[RandomAccess.GetLength(file)];
        Assert.Equal(content.Length, RandomAccess.Read(file, content, 0));
        return content;
    }

    /// <summary>A source that gives a few bytes at a time, as a network does.</summary>
    private sealed class Trickle(byte[] content, Random random) : MemoryStream(content)
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            base.ReadAsync(buffer[..Math.Min(buffer.Length, random.Next(1, 20_000))], cancellationToken);
    }
}
