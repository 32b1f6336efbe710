using OpenSandbox.Vmm.State;
using OpenSandbox.Vmm.Tests.State;

namespace OpenSandbox.Vmm.Tests;

[Collection(State.LocksCollection.Name)]
public sealed class SandboxImagesTests
{
    [Fact]
    public async Task ImportAsync_RawExt4_IsListedOpenedAndRemoved()
    {
        using var directory = new TemporaryDirectory();
        SandboxImages images = Open(directory);
        string file = WriteExt4Like(directory, seed: 1);

        SandboxImage image = await images.ImportAsync("first", file, "source-1");
        SandboxImage again = await images.ImportAsync("second", file);

        Assert.Equal(image.Digest, again.Digest);
        Assert.Equal(["first", "second"], images.List().Select(static entry => entry.Name));
        Assert.True(images.IsCurrent("first", "source-1"));
        Assert.False(images.IsCurrent("first", "source-2"));
        Assert.True(image.StoredBytes < 10 << 20, $"{image.StoredBytes} bytes stored: not sparse");
        images.OpenRootfs("first", image.VirtualBytes).File.Dispose();
        images.OpenRootfs(image.Digest, image.VirtualBytes).File.Dispose();

        Assert.True(await images.RemoveAsync("first"));
        Assert.False(await images.RemoveAsync("first"));
        images.OpenRootfs("second", image.VirtualBytes).File.Dispose();
        Assert.True(await images.RemoveAsync("second"));
        Assert.Throws<SandboxImageException>(() => images.OpenRootfs(image.Digest, image.VirtualBytes));
        Assert.DoesNotContain(Directory.EnumerateDirectories(Path.Combine(directory.Path, "images")), static path => !path.EndsWith("refs", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("QFI\u00fb qcow2 header and not ext4")]
    [InlineData("")]
    public async Task ImportAsync_NotExt4_IsRefusedAndLeavesNothing(string content)
    {
        using var directory = new TemporaryDirectory();
        SandboxImages images = Open(directory);
        await File.WriteAllTextAsync(directory.File("bad.raw"), content);

        SandboxImageException failure = await Assert.ThrowsAsync<SandboxImageException>(() => images.ImportAsync("bad", directory.File("bad.raw")));

        Assert.Contains("not a raw ext4", failure.Message, StringComparison.Ordinal);
        Assert.Empty(images.List());
        Assert.Equal(["lock", "refs"], Directory.EnumerateFileSystemEntries(Path.Combine(directory.Path, "images")).Select(Path.GetFileName).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task ImportAsync_MissingFile_SaysWhich()
    {
        using var directory = new TemporaryDirectory();

        SandboxImageException failure = await Assert.ThrowsAsync<SandboxImageException>(
            () => Open(directory).ImportAsync("name", directory.File("absent.raw")));

        Assert.Contains("absent.raw", failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("../up")]
    [InlineData("Upper")]
    [InlineData(".hidden")]
    [InlineData("a/b")]
    public async Task ImportAsync_BadName_IsRefused(string name)
    {
        using var directory = new TemporaryDirectory();

        await Assert.ThrowsAnyAsync<ArgumentException>(() => Open(directory).ImportAsync(name, "x"));
    }

    [Fact]
    public async Task OpenRootfs_TruncatedFile_IsRefused()
    {
        using var directory = new TemporaryDirectory();
        SandboxImages images = Open(directory);
        SandboxImage image = await images.ImportAsync("name", WriteExt4Like(directory, seed: 2));
        string path = Path.Combine(directory.Path, "images", image.Digest, "rootfs.raw");
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        using (FileStream file = File.OpenWrite(path))
        {
            file.SetLength(image.VirtualBytes - 1);
        }

        SandboxImageException failure = Assert.Throws<SandboxImageException>(() => images.OpenRootfs("name", image.VirtualBytes));

        Assert.Contains("Import it anew", failure.Message, StringComparison.Ordinal);
        SandboxImage again = await images.ImportAsync("name", WriteExt4Like(directory, seed: 2));
        Assert.Equal(image.Digest, again.Digest);
        images.OpenRootfs("name", image.VirtualBytes).File.Dispose();
    }

    [Fact]
    public async Task RemoveAsync_WhileAReferenceIsUnreadable_KeepsEveryImage()
    {
        using var directory = new TemporaryDirectory();
        SandboxImages images = Open(directory);
        SandboxImage kept = await images.ImportAsync("kept", WriteExt4Like(directory, seed: 3));
        await images.ImportAsync("other", WriteExt4Like(directory, seed: 4));
        string reference = Path.Combine(directory.Path, "images", "refs", "kept.json");
        string content = await File.ReadAllTextAsync(reference);
        await File.WriteAllTextAsync(reference, "{\"digest\":null}");

        Assert.True(await images.RemoveAsync("other"));
        await File.WriteAllTextAsync(reference, content);

        images.OpenRootfs("kept", kept.VirtualBytes).File.Dispose();
        Assert.Equal(["kept"], images.List().Select(static image => image.Name));
    }

    [Fact]
    public async Task RemoveAsync_SomethingSavedBuildsOnIt_IsRefusedUntilThatIsGone()
    {
        using var directory = new TemporaryDirectory();
        SandboxImages images = Open(directory);
        SandboxImage image = await images.ImportAsync("name", WriteExt4Like(directory, seed: 5));
        StateStore store = StateStore.Open(directory.Path);
        SnapshotManifest checkpoint;
        using (StateLease lease = store.Enter())
        {
            checkpoint = store.AddSnapshot(lease, SnapshotKind.Checkpoint, change: manifest => manifest with
            {
                Disks = new DiskChains { Rootfs = manifest.Disks.Rootfs! with { ImageDigest = image.Digest } },
            });
        }

        SandboxImageException refused = await Assert.ThrowsAsync<SandboxImageException>(() => images.RemoveAsync("name"));

        Assert.Contains(checkpoint.Id, refused.Message, StringComparison.Ordinal);
        Assert.Equal("name", Assert.Single(images.List()).Name);

        // Under another name it stays; so it does without any, when the name gets another content.
        await images.ImportAsync("other", WriteExt4Like(directory, seed: 5));
        Assert.True(await images.RemoveAsync("name"));
        await images.ImportAsync("other", WriteExt4Like(directory, seed: 6));
        images.OpenRootfs(image.Digest, image.VirtualBytes).File.Dispose();

        Assert.Null(store.DeleteSnapshot(checkpoint.Id));
        await images.ImportAsync("other", WriteExt4Like(directory, seed: 7));
        Assert.Throws<SandboxImageException>(() => images.OpenRootfs(image.Digest, image.VirtualBytes));
    }

    [Fact]
    public async Task RemoveAsync_SomethingSavedCannotBeRead_IsRefused()
    {
        using var directory = new TemporaryDirectory();
        SandboxImages images = Open(directory);
        await images.ImportAsync("name", WriteExt4Like(directory, seed: 8));
        StateStore store = StateStore.Open(directory.Path);
        string id = store.AddCheckpoint().Id;
        string path = store.Layout.SnapshotManifest(id);
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        await File.WriteAllTextAsync(path, "damaged");

        SandboxImageException refused = await Assert.ThrowsAsync<SandboxImageException>(() => images.RemoveAsync("name"));

        Assert.Contains(id, refused.Message, StringComparison.Ordinal);
        Assert.Single(images.List());
    }

    [Fact]
    public async Task Images_OpenInAHost_AreNotSwept()
    {
        using var directory = new TemporaryDirectory();
        SandboxImages images = Open(directory);
        SandboxImage image = await images.ImportAsync("name", WriteExt4Like(directory, seed: 9));
        (string digest, Microsoft.Win32.SafeHandles.SafeFileHandle file) = images.OpenRootfs("name", image.VirtualBytes);
        using (var opened = new OpenSandbox.Vmm.Disks.FrozenDisk("rootfs", digest, file, image.VirtualBytes, []))
        {
            using OpenSandbox.Vmm.Disks.FrozenDisk kept = opened.Share();
            opened.Dispose();
            await images.ImportAsync("name", WriteExt4Like(directory, seed: 10));
            await images.ImportAsync("name", WriteExt4Like(directory, seed: 10));
            images.OpenRootfs(image.Digest, image.VirtualBytes).File.Dispose();
        }

        await images.ImportAsync("name", WriteExt4Like(directory, seed: 10));
        Assert.Throws<SandboxImageException>(() => images.OpenRootfs(image.Digest, image.VirtualBytes));
    }

    [Fact]
    public void OpenRootfs_UnknownName_SaysHowToBuildIt()
    {
        using var directory = new TemporaryDirectory();

        SandboxImageException failure = Assert.Throws<SandboxImageException>(() => Open(directory).OpenRootfs("absent", 1));

        Assert.Contains("opensandbox image build absent", failure.Message, StringComparison.Ordinal);
    }

    private static SandboxImages Open(TemporaryDirectory directory) =>
        SandboxImages.Open(new SandboxHostOptions { StateDirectory = directory.Path });

    private static string WriteExt4Like(TemporaryDirectory directory, int seed)
    {
        byte[] content = new byte[2 << 20];
        new Random(seed).NextBytes(content.AsSpan(4_096));
        content[1_024 + 56] = 0x53;
        content[1_024 + 57] = 0xEF;
        string path = directory.File($"image-{seed}.raw");
        File.WriteAllBytes(path, content);
        return path;
    }
}
