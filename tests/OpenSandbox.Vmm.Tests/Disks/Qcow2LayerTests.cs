using System.Buffers.Binary;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Disks;

namespace OpenSandbox.Vmm.Tests.Disks;

public sealed class Qcow2LayerTests : IDisposable
{
    private const int Cluster = 65_536;
    private const long Virtual = 600L << 20;

    private readonly SafeFileHandle _file = UnnamedFile.Create(Path.GetTempPath());

    public void Dispose() => _file.Dispose();

    [Fact]
    public async Task Extents_OfALayerOfQemus_AreItsMap()
    {
        using var images = new QemuImages(Virtual);
        await images.AddLayerAsync("write -P 1 1M 256k", "write -z -u 64M 1M", "write -P 2 520M 64k");
        using SafeFileHandle file = File.OpenHandle(images.Layers[0]);
        Qcow2Layer layer = Qcow2Layer.Open(file, Virtual);

        Qcow2Extent[] extents = [.. layer.Extents()];

        Assert.Equal(
            [
                (Qcow2Allocation.Unallocated, 0L, 1L << 20),
                (Qcow2Allocation.Data, 1L << 20, 256L << 10),
                (Qcow2Allocation.Unallocated, (1L << 20) + (256L << 10), (63L << 20) - (256L << 10)),
                (Qcow2Allocation.Zero, 64L << 20, 1L << 20),
                (Qcow2Allocation.Unallocated, 65L << 20, 455L << 20),
                (Qcow2Allocation.Data, 520L << 20, 64L << 10),
                (Qcow2Allocation.Unallocated, (520L << 20) + (64L << 10), (80L << 20) - (64L << 10)),
            ],
            extents.Select(static extent => (extent.Allocation, extent.Offset, extent.Length)));
        Assert.All(extents, static extent => Assert.Equal(extent.Allocation == Qcow2Allocation.Data, extent.FileOffset != 0));
        Assert.Equal(new Qcow2Usage(RandomAccess.GetLength(file), 320 << 10, 1 << 20), layer.Measure(CancellationToken.None));
    }

    [Fact]
    public async Task Open_AnImageOfQemuImg_IsAccepted()
    {
        string path = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}.qcow2");
        try
        {
            await QemuImages.RunAsync("qemu-img", ["create", "-q", "-f", "qcow2", path, "600M"]);
            using SafeFileHandle file = File.OpenHandle(path);

            Assert.Equal(new Qcow2Extent(Qcow2Allocation.Unallocated, 0, Virtual, 0), Assert.Single(Qcow2Layer.Open(file, Virtual).Extents()));
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Theory]
    [InlineData("compat=0.10", "version 2")]
    [InlineData("cluster_size=4096", "cluster bits 12")]
    [InlineData("refcount_bits=64", "refcount order 6")]
    [InlineData("lazy_refcounts=on", "compatible features 0x1")]
    [InlineData("extended_l2=on", "extended L2")]
    [InlineData("compression_type=zstd", "compression type")]
    [InlineData("data_file=EXTERNAL", "external data file")]
    [InlineData("backing_file=EXTERNAL,backing_fmt=raw", "backing file")]
    public async Task Open_AnImageOfQemuImgWithMore_IsRefusedByName(string options, string named)
    {
        string directory = Directory.CreateTempSubdirectory("opensandbox-qcow2-").FullName;
        try
        {
            string external = Path.Combine(directory, "external"), path = Path.Combine(directory, "image");
            await File.WriteAllBytesAsync(external, new byte[Cluster]);
            options = options.Replace("EXTERNAL", external, StringComparison.Ordinal);
            await QemuImages.RunAsync("qemu-img", ["create", "-q", "-f", "qcow2", "-o", options, path, "600M"]);
            using SafeFileHandle file = File.OpenHandle(path);

            Qcow2FormatException refused = Assert.Throws<Qcow2FormatException>(() => Qcow2Layer.Open(file, Virtual));
            Assert.Contains(named, refused.Message, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [Theory]
    [InlineData(0, 4, 0x51464900u, "does not begin")]
    [InlineData(4, 4, 4u, "version 4")]
    [InlineData(8, 8, 0x200u, "backing file")]
    [InlineData(16, 4, 5u, "backing file")]
    [InlineData(20, 4, 21u, "cluster bits 21")]
    [InlineData(24, 8, 1u << 20, "virtual size")]
    [InlineData(32, 4, 1u, "encryption method 1")]
    [InlineData(32, 4, 2u, "encryption method 2")]
    [InlineData(36, 4, 0u, "L1 table of 0 entries")]
    [InlineData(36, 4, 0x7FFFFFFFu, "L1 table of 2147483647 entries")]
    [InlineData(36, 4, 8193u, "L1 table of 8193 entries")]
    [InlineData(40, 8, 0u, "L1 table (at 0x0")]
    [InlineData(40, 8, 100u, "L1 table (at 0x64")]
    [InlineData(40, 8, 0x7FFF0000u, "L1 table (at 0x7fff0000")]
    [InlineData(48, 8, 0u, "refcount table (at 0x0")]
    [InlineData(48, 8, 0x7FFF0000u, "refcount table (at 0x7fff0000")]
    [InlineData(56, 4, 0u, "refcount table of 0")]
    [InlineData(56, 4, 0xFFFFFFFFu, "refcount table of 4294967295")]
    [InlineData(60, 4, 1u, "1 internal snapshots")]
    [InlineData(64, 8, 0x10000u, "internal snapshots")]
    [InlineData(72, 8, 1u, "'dirty'")]
    [InlineData(72, 8, 2u, "'corrupt'")]
    [InlineData(72, 8, 4u, "'external data file'")]
    [InlineData(72, 8, 8u, "'compression type'")]
    [InlineData(72, 8, 16u, "'extended L2 entries'")]
    [InlineData(72, 8, 32u, "unknown incompatible features 0x20")]
    [InlineData(80, 8, 1u, "compatible features")]
    [InlineData(88, 8, 1u, "auto-clear features")]
    [InlineData(96, 4, 5u, "refcount order 5")]
    [InlineData(96, 4, 70u, "refcount order 70")]
    [InlineData(100, 4, 72u, "a header of 72 bytes")]
    [InlineData(100, 4, 0xFFFFFFF8u, "a header of 4294967288 bytes")]
    [InlineData(104, 4, 0xE2792ACAu, "'backing file format'")]
    [InlineData(104, 4, 0x44415441u, "'external data file'")]
    [InlineData(104, 4, 0x23852875u, "'bitmaps'")]
    [InlineData(104, 4, 0x0537BE77u, "'full disk encryption'")]
    [InlineData(104, 4, 0x12345678u, "unknown header extension 0x12345678")]
    public void Open_OneHostileField_IsRefusedByName(int offset, int size, uint value, string named)
    {
        byte[] image = Image();
        image.AsSpan(offset, size).Clear();
        BinaryPrimitives.WriteUInt32BigEndian(image.AsSpan(offset + size - 4), value);

        Assert.Contains(named, Assert.Throws<Qcow2FormatException>(() => Open(image)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Open_ExtensionsThatDoNotEnd_AreRefused()
    {
        byte[] image = Image();
        for (int at = 104; at < 104 + (20 * 8); at += 8)
        {
            BinaryPrimitives.WriteUInt32BigEndian(image.AsSpan(at), 0x6803F857);
        }

        Assert.Contains("more than 16", Assert.Throws<Qcow2FormatException>(() => Open(image)).Message, StringComparison.Ordinal);
        BinaryPrimitives.WriteUInt32BigEndian(image.AsSpan(108), uint.MaxValue);
        Assert.Contains("longer than the first cluster", Assert.Throws<Qcow2FormatException>(() => Open(image)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0x4000_0000_0007_0000, "compressed")]
    [InlineData(unchecked((long)0x8000_0000_7FFF_0000), "not on a cluster inside")]
    [InlineData(unchecked((long)0x8000_0000_0007_0200), "not on a cluster inside")]
    [InlineData(unchecked((long)0x80FF_FFFF_FFFF_0000), "not on a cluster inside")]
    [InlineData(unchecked((long)0x8100_0000_0007_0000), "L2 entry is not valid")]
    [InlineData(0x0000_0000_0007_0002, "L2 entry is not valid")]
    [InlineData(unchecked((long)0x8000_0000_0000_0000), "L2 entry is not valid")]
    [InlineData(unchecked((long)0x8000_0000_0003_0000), "used twice")] // the L1 table
    [InlineData(unchecked((long)0x8000_0000_0006_0000), "used twice")] // another cluster of the disk
    public void Measure_OneHostileEntryOfL2_IsRefusedByName(long entry, string named)
    {
        byte[] image = Image();
        BinaryPrimitives.WriteInt64BigEndian(image.AsSpan((4 * Cluster) + 8), entry);

        Qcow2Layer layer = Open(image);

        Assert.Contains(named, Assert.Throws<Qcow2FormatException>(() => layer.Measure(CancellationToken.None)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0x4000_0000_0004_0000, "L1 entry is not valid")]
    [InlineData(unchecked((long)0x8000_0000_0004_0001), "L1 entry is not valid")]
    [InlineData(unchecked((long)0x8000_0000_0004_0200), "not on a cluster inside")]
    [InlineData(unchecked((long)0x8000_0000_0008_0000), "not on a cluster inside")]
    [InlineData(unchecked((long)0x80FF_FFFF_FFFF_0000), "not on a cluster inside")]
    [InlineData(unchecked((long)0x8000_0000_0004_0000), "used twice")]
    [InlineData(unchecked((long)0x8000_0000_0003_0000), "used twice")]
    public void Measure_OneHostileEntryOfL1_IsRefusedByName(long entry, string named)
    {
        byte[] image = Image();
        BinaryPrimitives.WriteInt64BigEndian(image.AsSpan((3 * Cluster) + 8), entry);

        Qcow2FormatException refused = Assert.Throws<Qcow2FormatException>(() => Open(image).Measure(CancellationToken.None));

        Assert.Contains(named, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Open_FileFarLargerThanItsDisk_IsRefused()
    {
        RandomAccess.Write(_file, Image(), 0);
        RandomAccess.SetLength(_file, (2 * Virtual) + (2L << 30));

        Assert.Contains("for a disk of", Assert.Throws<Qcow2FormatException>(() => Qcow2Layer.Open(_file, Virtual)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Flatten_FileCutWhileItIsRead_IsRefused()
    {
        Qcow2Layer layer = Open(Image());
        RandomAccess.SetLength(_file, 5 * Cluster);
        using SafeFileHandle target = UnnamedFile.Create(Path.GetTempPath());

        await Assert.ThrowsAsync<Qcow2FormatException>(() => Qcow2Flattener.FlattenAsync([layer], target, null, CancellationToken.None));
    }

    [Fact]
    public async Task Layer_AnyDamage_IsRefusedOrReadWithinBounds()
    {
        var random = new Random(11);
        int refused = 0;
        byte[] good = Image();
        for (int round = 0; round < 1_500; round++)
        {
            byte[] image = [.. good];
            for (int edit = random.Next(1, 6); edit > 0; edit--)
            {
                // Header, extensions, L1 and L2; whole words, bytes and bits.
                int at = random.Next(4) switch
                {
                    0 => random.Next(0, 120),
                    1 => (3 * Cluster) + random.Next(0, 24),
                    _ => (4 * Cluster) + random.Next(0, 64),
                };
                switch (random.Next(4))
                {
                    case 0:
                        image[at] ^= (byte)(1 << random.Next(8));
                        break;
                    case 1:
                        BinaryPrimitives.WriteInt64BigEndian(image.AsSpan(at & ~7), random.NextInt64(long.MinValue, long.MaxValue));
                        break;
                    case 2:
                        BinaryPrimitives.WriteInt64BigEndian(image.AsSpan(at & ~7), long.MinValue | ((long)random.Next(0, 9) * Cluster));
                        break;
                    default:
                        image[at] = (byte)random.Next(256);
                        break;
                }
            }

            if (random.Next(4) == 0)
            {
                image = image[..random.Next(image.Length)];
            }

            using SafeFileHandle target = UnnamedFile.Create(Path.GetTempPath());
            try
            {
                Qcow2Layer layer = Open(image);
                Assert.Equal(Virtual, layer.Extents().Sum(static extent => extent.Length));
                layer.Measure(CancellationToken.None);
                await Qcow2Flattener.FlattenAsync([layer], target, null, CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(30));
                Assert.InRange(RandomAccess.GetLength(target), 0, image.Length + (4 * Cluster));
            }
            catch (Qcow2FormatException)
            {
                refused++;
            }
        }

        Assert.InRange(refused, 1_000, 1_499);
    }

    private Qcow2Layer Open(byte[] image)
    {
        RandomAccess.SetLength(_file, 0);
        RandomAccess.Write(_file, image, 0);
        return Qcow2Layer.Open(_file, Virtual);
    }

    /// <summary>Header, refcount table and block, L1, L2 and three clusters of content: 8 clusters, as QEMU would have written them.</summary>
    private static byte[] Image()
    {
        byte[] image = new byte[8 * Cluster];
        using SafeFileHandle file = UnnamedFile.Create(Path.GetTempPath());
        Qcow2Overlay.Format(file, Virtual);
        RandomAccess.Read(file, image.AsSpan(0, 4 * Cluster), 0);
        BinaryPrimitives.WriteInt64BigEndian(image.AsSpan(3 * Cluster), long.MinValue | (4 * Cluster));
        BinaryPrimitives.WriteInt64BigEndian(image.AsSpan(4 * Cluster), long.MinValue | (5 * Cluster));
        BinaryPrimitives.WriteInt64BigEndian(image.AsSpan((4 * Cluster) + 16), long.MinValue | (6 * Cluster));
        BinaryPrimitives.WriteInt64BigEndian(image.AsSpan((4 * Cluster) + 24), 1);
        image.AsSpan(5 * Cluster).Fill(0x5A);
        return image;
    }
}
