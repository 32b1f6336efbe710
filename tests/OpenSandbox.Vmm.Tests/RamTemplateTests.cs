using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Golden;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Vmm.Tests;

public sealed class RamTemplateTests
{
    private const long Length = 4 << 20;

    [Fact]
    public void Seal_ThenWrite_IsRefusedByTheKernel()
    {
        using RamTemplate template = RamTemplate.CreateEmpty(Length);
        RandomAccess.Write(template.File, "content"u8, 4_096);
        template.Seal();

        Assert.True(template.IsSealed);
        Assert.ThrowsAny<Exception>(() => RandomAccess.Write(template.File, "other"u8, 4_096));
        byte[] read = new byte[7];
        RandomAccess.Read(template.File, read, 4_096);
        Assert.Equal("content"u8.ToArray(), read);
    }

    [Fact]
    public void PunchZeroPages_KeepsContentAndFreesTheRest()
    {
        using RamTemplate template = RamTemplate.CreateEmpty(Length);
        byte[] content = new byte[Length];
        new Random(3).NextBytes(content.AsSpan(8_192, 5_000));
        content[^1] = 9;
        RandomAccess.Write(template.File, content, 0);

        template.PunchZeroPages();

        byte[] read = new byte[Length];
        RandomAccess.Read(template.File, read, 0);
        Assert.Equal(content, read);
        long stored = DataExtents.Of(template.File, Length, 4_096).Sum(static extent => extent.End - extent.Start);
        Assert.Equal(3 * 4_096, stored);
    }

    [Fact]
    public void Load_SavedFile_IsSealedEqualAndSameDigest()
    {
        using var directory = new TemporaryDirectory();
        byte[] content = new byte[Length];
        new Random(4).NextBytes(content.AsSpan(1 << 20, 70_000));
        File.WriteAllBytes(directory.File("ram"), content);
        using SafeFileHandle saved = File.OpenHandle(directory.File("ram"));
        string expected = SparseDigest.Compute(saved, Length, null, CancellationToken.None);

        (RamTemplate template, string digest) = RamTemplate.Load(directory.File("ram"), Length, CancellationToken.None);
        using (template)
        {
            byte[] read = new byte[Length];
            RandomAccess.Read(template.File, read, 0);
            Assert.True(template.IsSealed);
            Assert.Equal(expected, digest);
            Assert.Equal(content, read);
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(4_096)]
    [InlineData(Length + 1)]
    public void Load_WrongLength_IsRefused(long length)
    {
        using var directory = new TemporaryDirectory();
        using (SafeFileHandle file = File.OpenHandle(directory.File("ram"), FileMode.CreateNew, FileAccess.Write))
        {
            RandomAccess.SetLength(file, length);
        }

        Assert.Throws<InvalidDataException>(() => RamTemplate.Load(directory.File("ram"), Length, CancellationToken.None));
    }
}
