using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Tests.State;

/// <summary>Whatever happens to a saved file, it is noticed before it is used.</summary>
public sealed class SavedFilesTests : IDisposable
{
    private const int Length = 300_000;

    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void Verify_Untouched_IsTrustedWithoutReading()
    {
        SavedFile saved = Save("f", DigestMethod.Plain) with { Sha256 = new string('0', 64) };

        Assert.Same(saved, Verify("f", saved, DigestMethod.Plain));
    }

    [Theory]
    [InlineData(DigestMethod.Plain)]
    [InlineData(DigestMethod.Sparse)]
    internal void Verify_Copied_IsComparedAndTrustedFromThenOn(DigestMethod method)
    {
        SavedFile saved = Save("f", method);
        File.Copy(_directory.File("f"), _directory.File("g"));
        File.Move(_directory.File("g"), _directory.File("f"), overwrite: true);

        SavedFile again = Verify("f", saved, method);

        Assert.NotEqual(saved.Stamp, again.Stamp);
        Assert.Equal(saved.Sha256, again.Sha256);
        Assert.Same(again, Verify("f", again, method));
    }

    [Theory]
    [InlineData(DigestMethod.Plain)]
    [InlineData(DigestMethod.Sparse)]
    internal void Verify_BitFlippedAnywhere_IsRefused(DigestMethod method)
    {
        SavedFile saved = Save("f", method);
        byte[] content = File.ReadAllBytes(_directory.File("f"));
        var random = new Random(3);
        for (int attempt = 0; attempt < 40; attempt++)
        {
            byte[] damaged = [.. content];
            damaged[random.Next(damaged.Length)] ^= (byte)(1 << random.Next(8));
            File.WriteAllBytes(_directory.File("f"), damaged);
            StateFileException failure = Assert.Throws<StateFileException>(() => Verify("f", saved, method));
            Assert.Contains(_directory.File("f"), failure.Message, StringComparison.Ordinal);
            Assert.Contains("digest", failure.Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData(DigestMethod.Plain)]
    [InlineData(DigestMethod.Sparse)]
    internal void Verify_Truncated_IsRefusedWithBothLengths(DigestMethod method)
    {
        SavedFile saved = Save("f", method);
        byte[] content = File.ReadAllBytes(_directory.File("f"));
        foreach (int length in (int[])[0, 1, Length / 2, Length - 1])
        {
            File.WriteAllBytes(_directory.File("f"), content[..length]);
            Assert.Contains($"{length} bytes instead of {Length}", Assert.Throws<StateFileException>(() => Verify("f", saved, method)).Message, StringComparison.Ordinal);
        }

        File.WriteAllBytes(_directory.File("f"), [.. content, 0]);
        Assert.Throws<StateFileException>(() => Verify("f", saved, method));
    }

    [Theory]
    [InlineData(DigestMethod.Plain)]
    [InlineData(DigestMethod.Sparse)]
    internal void Verify_SwappedWithAnotherOfTheSameLength_IsRefused(DigestMethod method)
    {
        SavedFile first = Save("f", method);
        SavedFile second = Save("g", method, seed: 2);
        File.Move(_directory.File("f"), _directory.File("h"));
        File.Move(_directory.File("g"), _directory.File("f"));
        File.Move(_directory.File("h"), _directory.File("g"));

        Assert.Throws<StateFileException>(() => Verify("f", first, method));
        Assert.Throws<StateFileException>(() => Verify("g", second, method));
    }

    [Fact]
    public void Verify_WrittenToWithTheTimePutBack_IsRefused()
    {
        SavedFile saved = Save("f", DigestMethod.Plain);
        DateTime modified = File.GetLastWriteTimeUtc(_directory.File("f"));
        byte[] content = File.ReadAllBytes(_directory.File("f"));
        content[5] ^= 1;
        File.WriteAllBytes(_directory.File("f"), content);
        File.SetLastWriteTimeUtc(_directory.File("f"), modified);

        Assert.Throws<StateFileException>(() => Verify("f", saved, DigestMethod.Plain));
    }

    [Fact]
    public void Verify_TouchedBeforeItsDigestWasKnown_IsRefusedAndSaysWhy()
    {
        SavedFile saved = Save("f", DigestMethod.Plain) with { Sha256 = null };
        Assert.Same(saved, Verify("f", saved, DigestMethod.Plain));
        File.WriteAllBytes(_directory.File("f"), File.ReadAllBytes(_directory.File("f")));

        StateFileException failure = Assert.Throws<StateFileException>(() => Verify("f", saved, DigestMethod.Plain));

        Assert.Contains("its content was written to", failure.Message, StringComparison.Ordinal);
        Assert.Contains("had not been computed", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AddDigest_ChangedSinceItWasDescribed_IsRefused()
    {
        SavedFile saved = Save("f", DigestMethod.Plain) with { Sha256 = null };
        byte[] content = File.ReadAllBytes(_directory.File("f"));
        content[0] ^= 1;
        File.WriteAllBytes(_directory.File("f"), content);
        using SafeFileHandle file = File.OpenHandle(_directory.File("f"));

        Assert.Throws<StateFileException>(
            () => SavedFiles.AddDigest(file, saved, _directory.File("f"), DigestMethod.Plain, CancellationToken.None));
    }

    [Fact]
    public void Verify_Cancelled_StopsReading()
    {
        SavedFile saved = Save("f", DigestMethod.Plain);
        File.WriteAllBytes(_directory.File("f"), File.ReadAllBytes(_directory.File("f")));
        using SafeFileHandle file = File.OpenHandle(_directory.File("f"));

        Assert.Throws<OperationCanceledException>(
            () => SavedFiles.Verify(file, saved, "f", DigestMethod.Plain, new CancellationToken(canceled: true)));
    }

    private SavedFile Save(string name, DigestMethod method, int seed = 1)
    {
        byte[] content = new byte[Length];
        new Random(seed).NextBytes(content);
        File.WriteAllBytes(_directory.File(name), content);
        using SafeFileHandle file = File.OpenHandle(_directory.File(name));
        return SavedFiles.AddDigest(file, SavedFiles.Describe(file, name), _directory.File(name), method, CancellationToken.None);
    }

    private SavedFile Verify(string name, SavedFile saved, DigestMethod method)
    {
        using SafeFileHandle file = File.OpenHandle(_directory.File(name));
        return SavedFiles.Verify(file, saved, _directory.File(name), method, CancellationToken.None);
    }
}
