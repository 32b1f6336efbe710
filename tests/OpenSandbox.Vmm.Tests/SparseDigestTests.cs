using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Vmm.Tests;

public sealed class SparseDigestTests
{
    private const int Length = 10 << 20;

    [Fact]
    public void Compute_SparseAndFullFile_AreEqualAndCopyIsExact()
    {
        using var directory = new TemporaryDirectory();
        byte[] content = Content();
        File.WriteAllBytes(directory.File("full"), content);
        using SafeFileHandle sparse = File.OpenHandle(directory.File("sparse"), FileMode.CreateNew, FileAccess.ReadWrite);
        using SafeFileHandle full = File.OpenHandle(directory.File("full"));
        RandomAccess.SetLength(sparse, Length);

        string first = SparseDigest.Compute(full, Length, sparse, CancellationToken.None);
        string second = SparseDigest.Compute(sparse, Length, null, CancellationToken.None);

        Assert.Equal(first, second);
        Assert.Equal(content, File.ReadAllBytes(directory.File("sparse")));
        Assert.True(DataExtents.Of(sparse, Length, 4_096).Sum(static extent => extent.End - extent.Start) < Length / 2, "the copy is not sparse");
    }

    [Fact]
    public void Compute_AnySingleBitFlipped_ChangesTheDigest()
    {
        using var directory = new TemporaryDirectory();
        byte[] content = Content();
        string original = DigestOf(directory, content);
        var random = new Random(1);
        for (int attempt = 0; attempt < 32; attempt++)
        {
            int at = random.Next(Length);
            content[at] ^= (byte)(1 << random.Next(8));
            Assert.NotEqual(original, DigestOf(directory, content));
            content = Content();
        }
    }

    [Fact]
    public void Compute_BlocksSwapped_ChangesTheDigest()
    {
        using var directory = new TemporaryDirectory();
        byte[] content = Content();
        byte[] swapped = (byte[])content.Clone();
        content.AsSpan(0, 65_536).CopyTo(swapped.AsSpan(5 * 65_536));
        content.AsSpan(5 * 65_536, 65_536).CopyTo(swapped);

        Assert.NotEqual(DigestOf(directory, content), DigestOf(directory, swapped));
    }

    [Fact]
    public void Compute_ShorterFile_IsRefused()
    {
        using var directory = new TemporaryDirectory();
        File.WriteAllBytes(directory.File("short"), new byte[100_000].Select(static (_, i) => (byte)(i + 1)).ToArray());
        using SafeFileHandle file = File.OpenHandle(directory.File("short"));

        Assert.Throws<EndOfStreamException>(() => SparseDigest.Compute(file, 200_000, null, CancellationToken.None));
    }

    private static string DigestOf(TemporaryDirectory directory, byte[] content)
    {
        File.WriteAllBytes(directory.File("file"), content);
        using SafeFileHandle file = File.OpenHandle(directory.File("file"));
        return SparseDigest.Compute(file, content.Length, null, CancellationToken.None);
    }

    private static byte[] Content()
    {
        byte[] content = new byte[Length];
        new Random(7).NextBytes(content.AsSpan(0, 100_000));
        new Random(8).NextBytes(content.AsSpan(5 << 20, 300_001));
        content[^1] = 1;
        return content;
    }
}
