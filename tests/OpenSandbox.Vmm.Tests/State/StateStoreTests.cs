using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;
using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Tests.State;

[Collection(LocksCollection.Name)]
public sealed class StateStoreTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly StateStore _store;

    public StateStoreTests() => _store = StateStore.Open(_directory.Path);

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void Open_MakesDirectories_ThatOnlyTheOwnerMayEnter()
    {
        Directory.Delete(_store.Layout.Layers);
        Directory.CreateDirectory(_store.Layout.Layers, (UnixFileMode)0x1FF);

        var again = StateStore.Open(_directory.Path);

        foreach (string path in (string[])[again.Layout.Sandboxes, again.Layout.Snapshots, again.Layout.Layers])
        {
            Assert.Equal(StateFiles.DirectoryMode, File.GetUnixFileMode(path));
        }
    }

    [Fact]
    public void Open_LinkInPlaceOfADirectory_IsRefused()
    {
        Directory.Delete(_store.Layout.Layers);
        Directory.CreateSymbolicLink(_store.Layout.Layers, Path.GetTempPath());

        Assert.ThrowsAny<IOException>(() => StateStore.Open(_directory.Path));
    }

    [Fact]
    public void CreateSandbox_ThenLoad_IsGenerationOneAndOwned()
    {
        using StateLease lease = _store.Enter();
        (SandboxLock owner, SandboxManifest made) = _store.CreateSandbox(lease, Samples.Sandbox());
        using (owner)
        {
            Assert.Equal(1, made.Generation);
            Assert.Equal(1, _store.LoadSandbox(made.Id).Generation);
            Assert.Null(StateStore.Open(_directory.Path).TryLockSandbox(made.Id));
        }

        Assert.Equal((UnixFileMode)0x180, File.GetUnixFileMode(_store.Layout.SandboxManifest(made.Id)));
        using SandboxLock? free = _store.TryLockSandbox(made.Id);
        Assert.NotNull(free);
    }

    [Fact]
    public void CreateSandbox_IdTaken_IsRefusedAndChangesNothing()
    {
        SandboxManifest first = _store.AddSandbox();
        string[] before = _store.Files();
        using StateLease lease = _store.Enter();

        StateConflictException failure = Assert.Throws<StateConflictException>(
            () => _store.CreateSandbox(lease, Samples.Sandbox() with { Lifetime = RecordedLifetime.Attached }));

        Assert.Contains("there already", failure.Message, StringComparison.Ordinal);
        Assert.Equal(before, _store.Files());
        Assert.Equal(first.Lifetime, _store.LoadSandbox(first.Id).Lifetime);
    }

    [Fact]
    public void CreateSandbox_LayerMissing_IsRefused()
    {
        using StateLease lease = _store.Enter();
        LayerRef layer = _store.LinkLayer(lease);
        File.Delete(_store.Layout.Layer(layer.Id));

        Assert.Contains(
            layer.Id, Assert.Throws<StateConflictException>(() => _store.CreateSandbox(lease, Samples.Sandbox(rootfs: layer))).Message, StringComparison.Ordinal);
        Assert.Empty(_store.ListSandboxes().Items);
    }

    [Fact]
    public void CreateSandbox_WithoutLease_IsRefused()
    {
        StateLease lease = _store.Enter();
        lease.Dispose();

        Assert.Throws<InvalidOperationException>(() => _store.CreateSandbox(lease, Samples.Sandbox()));
    }

    [Fact]
    public void Commit_RaisesTheGenerationEachTime()
    {
        SandboxManifest manifest = _store.AddSandbox();
        using SandboxLock owner = _store.TryLockSandbox(manifest.Id)!;
        for (int expected = 2; expected < 10; expected++)
        {
            manifest = _store.CommitSandbox(owner, manifest with { Expiry = new ExpiryRecord { LastActivityUtc = Samples.Time, IdleTimeoutMs = expected } });
            Assert.Equal(expected, manifest.Generation);
        }

        Assert.Equal(9, StateStore.Open(_directory.Path).LoadSandbox(manifest.Id).Expiry!.IdleTimeoutMs);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(3)]
    public void Commit_OfAnotherGeneration_IsRefused(long generation)
    {
        SandboxManifest manifest = _store.AddSandbox();
        using SandboxLock owner = _store.TryLockSandbox(manifest.Id)!;
        _store.CommitSandbox(owner, manifest);

        StateConflictException failure = Assert.Throws<StateConflictException>(
            () => _store.CommitSandbox(owner, manifest with { Generation = generation }));

        Assert.Contains("generation 2 is on disk", failure.Message, StringComparison.Ordinal);
        Assert.Equal(2, _store.LoadSandbox(manifest.Id).Generation);
    }

    [Fact]
    public void Commit_WithoutTheLockOrWithAnother_IsRefused()
    {
        SandboxManifest manifest = _store.AddSandbox();
        _store.AddSandbox(Samples.OtherSandboxId);
        SandboxLock owner = _store.TryLockSandbox(manifest.Id)!;
        using SandboxLock other = _store.TryLockSandbox(Samples.OtherSandboxId)!;
        owner.Dispose();

        Assert.Throws<InvalidOperationException>(() => _store.CommitSandbox(owner, manifest));
        Assert.Throws<ArgumentException>(() => _store.CommitSandbox(other, manifest));
        Assert.Equal(1, _store.LoadSandbox(manifest.Id).Generation);
    }

    [Fact]
    public void Commit_SnapshotThatIsNotItsOwn_IsRefused()
    {
        SandboxManifest manifest = _store.AddSandbox();
        SnapshotManifest checkpoint = _store.AddCheckpoint();
        SnapshotManifest foreign;
        using (StateLease lease = _store.Enter())
        {
            foreign = _store.AddSnapshot(lease, SnapshotKind.Hibernation, Samples.OtherSandboxId);
        }

        using SandboxLock owner = _store.TryLockSandbox(manifest.Id)!;

        foreach (string id in (string[])[checkpoint.Id, foreign.Id, "sn-0000000000000000"])
        {
            Assert.Throws<StateConflictException>(
                () => _store.CommitSandbox(owner, manifest with { State = RecordedState.Hibernated, SnapshotId = id }));
        }

        Assert.Equal(1, _store.LoadSandbox(manifest.Id).Generation);
    }

    [Fact]
    public void Commit_OverADamagedManifest_IsRefusedAndLeavesIt()
    {
        SandboxManifest manifest = _store.AddSandbox();
        byte[] damaged = Damage(_store.Layout.SandboxManifest(manifest.Id));
        using SandboxLock owner = _store.TryLockSandbox(manifest.Id)!;

        Assert.Throws<StateFileException>(() => _store.CommitSandbox(owner, manifest));

        Assert.Equal(damaged, File.ReadAllBytes(_store.Layout.SandboxManifest(manifest.Id)));
    }

    [Fact]
    public void Listing_DamagedManifests_AreNamedAndTheOthersRead()
    {
        SandboxManifest good = _store.AddSandbox("sb-0000000a");
        _store.AddSandbox("sb-0000000b");
        _store.AddSandbox("sb-0000000c");
        _store.AddSandbox("sb-0000000d");
        Damage(_store.Layout.SandboxManifest("sb-0000000b"));
        File.Delete(_store.Layout.SandboxManifest("sb-0000000c"));
        File.Copy(_store.Layout.SandboxManifest(good.Id), _store.Layout.SandboxManifest("sb-0000000d"), overwrite: true);
        Directory.CreateDirectory(Path.Combine(_store.Layout.Sandboxes, "notes"));
        Directory.CreateDirectory(Path.Combine(_store.Layout.Sandboxes, "sb-0000000e.1.tmp"));

        StateListing<SandboxManifest> listing = _store.ListSandboxes();

        Assert.Equal([good.Id], listing.Items.Select(static manifest => manifest.Id));
        Assert.Equal(["notes", "sb-0000000b", "sb-0000000c", "sb-0000000d"], listing.Damaged.Select(static entry => Path.GetFileName(entry.Path)).Order());
        Assert.Contains("digest", listing.Damaged.Single(static entry => entry.Id == "sb-0000000b").Problem, StringComparison.Ordinal);
        Assert.Contains("no manifest", listing.Damaged.Single(static entry => entry.Id == "sb-0000000c").Problem, StringComparison.Ordinal);
        Assert.Contains("manifest of sb-0000000a", listing.Damaged.Single(static entry => entry.Id == "sb-0000000d").Problem, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("link")]
    [InlineData("pipe")]
    [InlineData("directory")]
    [InlineData("hard link")]
    [InlineData("writable")]
    public void Load_ManifestThatIsNoOrdinaryFile_IsRefusedAtOnce(string kind)
    {
        SandboxManifest manifest = _store.AddSandbox();
        string path = _store.Layout.SandboxManifest(manifest.Id);
        string other = _directory.File("other");
        File.Copy(path, other);
        switch (kind)
        {
            case "link":
                File.Delete(path);
                File.CreateSymbolicLink(path, other);
                break;
            case "pipe":
                File.Delete(path);
                System.Diagnostics.Process.Start("mkfifo", [path]).WaitForExit();
                break;
            case "directory":
                File.Delete(path);
                Directory.CreateDirectory(path);
                break;
            case "hard link":
                System.Diagnostics.Process.Start("ln", [path, other + "2"]).WaitForExit();
                break;
            default:
                File.SetUnixFileMode(path, (UnixFileMode)0x1B6);
                break;
        }

        StateFileException failure = Assert.Throws<StateFileException>(() => _store.LoadSandbox(manifest.Id));

        Assert.Contains(path, failure.Message, StringComparison.Ordinal);
        Assert.Single(_store.ListSandboxes().Damaged);
    }

    [Theory]
    [InlineData("../../etc")]
    [InlineData("sb-")]
    [InlineData("sb-0123abcd/../x")]
    public void Ids_ThatAreNone_NeverBecomePaths(string id)
    {
        Assert.Throws<ArgumentException>(() => _store.LoadSandbox(id));
        Assert.Throws<ArgumentException>(() => _store.TryLockSandbox(id));
        Assert.Throws<ArgumentException>(() => _store.LoadSnapshot(id));
        Assert.Throws<ArgumentException>(() => _store.DeleteSnapshot(id));
        Assert.Throws<ArgumentException>(() => _store.OpenLayer(id, readOnly: true));
    }

    [Fact]
    public void Sandbox_ThatIsNotThere_IsSaidToBeMissing()
    {
        Assert.Throws<StateNotFoundException>(() => _store.LoadSandbox(Samples.SandboxId));
        Assert.Throws<StateNotFoundException>(() => _store.TryLockSandbox(Samples.SandboxId));
        Assert.False(_store.SandboxExists(Samples.SandboxId));
    }

    [Fact]
    public void DeleteSandbox_Hibernated_RemovesItsSnapshotAndLeavesLayersToTheSweeper()
    {
        _store.AddSandbox();
        SandboxManifest manifest = _store.Hibernate();
        SnapshotManifest checkpoint = _store.AddCheckpoint();
        using SandboxLock owner = _store.TryLockSandbox(manifest.Id)!;

        Assert.Null(_store.DeleteSandbox(owner));

        Assert.False(_store.SandboxExists(manifest.Id));
        Assert.Equal([checkpoint.Id], _store.ListSnapshots().Items.Select(static snapshot => snapshot.Id));
        Assert.Equal(3, _store.LayerFiles().Length);
        Assert.Throws<StateNotFoundException>(() => _store.DeleteSandbox(owner));
        _store.Sweep();
        Assert.Equal([checkpoint.Disks.Rootfs!.Layers[0].Id], _store.LayerFiles());
    }

    [Fact]
    public void DeleteSandbox_Damaged_IsPossible()
    {
        SandboxManifest manifest = _store.AddSandbox();
        Damage(_store.Layout.SandboxManifest(manifest.Id));
        using SandboxLock owner = _store.TryLockSandbox(manifest.Id)!;

        Assert.Null(_store.DeleteSandbox(owner));

        Assert.Empty(_store.ListSandboxes().Damaged);
    }

    [Fact]
    public void DeleteSandbox_ThenCreateAgain_TheOldLockIsWorthless()
    {
        SandboxManifest manifest = _store.AddSandbox();
        using SandboxLock old = _store.TryLockSandbox(manifest.Id)!;
        _store.DeleteSandbox(old);
        _store.AddSandbox();

        using SandboxLock? fresh = _store.TryLockSandbox(manifest.Id);

        Assert.NotNull(fresh);
    }

    [Fact]
    public void LinkLayer_Unnamed_IsFrozenDurableAndVerified()
    {
        using StateLease lease = _store.Enter();
        LayerRef layer = _store.LinkLayer(lease);

        (SafeFileHandle file, LayerRef description) = _store.OpenFrozenLayer(layer, CancellationToken.None);
        file.Dispose();

        Assert.Same(layer, description);
        Assert.Equal((UnixFileMode)0x100, File.GetUnixFileMode(_store.Layout.Layer(layer.Id)));
    }

    [Fact]
    public void LinkLayer_FileThatHadAName_IsRefusedWithTheReason()
    {
        using StateLease lease = _store.Enter();
        using SafeFileHandle deleted = File.OpenHandle(_directory.File("x"), FileMode.CreateNew, FileAccess.ReadWrite);
        Assert.Throws<ArgumentException>(() => _store.LinkLayer(lease, deleted));
        File.Delete(_directory.File("x"));

        Assert.Contains("O_TMPFILE", Assert.Throws<StateFileException>(() => _store.LinkLayer(lease, deleted)).Message, StringComparison.Ordinal);
        Assert.Empty(_store.LayerFiles());
    }

    [SkippableFact]
    public void LinkLayer_OnAnotherFileSystem_IsRefusedWithTheReason()
    {
        Skip.IfNot(Directory.Exists("/dev/shm"), "there is no /dev/shm here");
        using StateLease lease = _store.Enter();
        using SafeFileHandle elsewhere = UnnamedFile.Create("/dev/shm");

        Assert.Contains("another file system", Assert.Throws<StateFileException>(() => _store.LinkLayer(lease, elsewhere)).Message, StringComparison.Ordinal);
        Assert.Empty(_store.LayerFiles());
    }

    [Fact]
    public void CreateLayerFile_Discarded_IsGoneAndOtherwiseStays()
    {
        using StateLease lease = _store.Enter();
        using (LayerFile kept = _store.CreateLayerFile(lease, static file => Qcow2Overlay.Format(file, 1 << 20)))
        using (LayerFile discarded = _store.CreateLayerFile(lease, static file => Qcow2Overlay.Format(file, 1 << 20)))
        {
            Assert.Equal(2, _store.LayerFiles().Length);
            discarded.Discard();
        }

        string id = Assert.Single(_store.LayerFiles());
        using SafeFileHandle writable = _store.OpenLayer(id, readOnly: false);
    }

    [Fact]
    public void CreateLayerFile_WhoseContentCannotBeWritten_LeavesNothing()
    {
        using StateLease lease = _store.Enter();

        Assert.Throws<FileNotFoundException>(() => _store.CreateLayerFile(lease, static _ => throw new FileNotFoundException()));

        Assert.Empty(_store.LayerFiles());
    }

    [Fact]
    public void FreezeLayer_Named_CannotBeWrittenAgainAndIsVerified()
    {
        using StateLease lease = _store.Enter();
        using LayerFile layer = _store.CreateLayerFile(lease, static file => Qcow2Overlay.Format(file, 1 << 20));

        LayerRef frozen = _store.FreezeLayer(layer.Id);

        Assert.Equal((UnixFileMode)0x100, File.GetUnixFileMode(_store.Layout.Layer(layer.Id)));
        (SafeFileHandle file, LayerRef description) = _store.OpenFrozenLayer(frozen, CancellationToken.None);
        file.Dispose();
        Assert.Same(frozen, description);
        RandomAccess.Write(layer.File, [1], 0);
        Assert.Throws<StateFileException>(() => _store.OpenFrozenLayer(frozen, CancellationToken.None));
    }

    /// <summary>A checkpoint may name a layer that its sandbox's manifest does not yet call frozen: what froze it first still vouches for it.</summary>
    [Fact]
    public void FreezeLayer_Twice_IsNotTouched()
    {
        using StateLease lease = _store.Enter();
        using LayerFile layer = _store.CreateLayerFile(lease, static file => Qcow2Overlay.Format(file, 1 << 20));
        LayerRef first = _store.FreezeLayer(layer.Id);

        Assert.Equal(first, _store.FreezeLayer(layer.Id));

        (SafeFileHandle file, LayerRef description) = _store.OpenFrozenLayer(first, CancellationToken.None);
        file.Dispose();
        Assert.Same(first, description);
    }

    [Fact]
    public void OpenLayer_LinkInItsPlace_IsRefused()
    {
        using StateLease lease = _store.Enter();
        LayerRef layer = _store.LinkLayer(lease);
        File.Move(_store.Layout.Layer(layer.Id), _directory.File("elsewhere"));
        Assert.Throws<StateNotFoundException>(() => _store.OpenLayer(layer.Id, readOnly: true));
        File.CreateSymbolicLink(_store.Layout.Layer(layer.Id), _directory.File("elsewhere"));

        Assert.Throws<StateFileException>(() => _store.OpenLayer(layer.Id, readOnly: true));
    }

    [Fact]
    public void Snapshot_Published_IsThereWithItsFiles()
    {
        SnapshotManifest made = _store.AddCheckpoint();

        SnapshotManifest read = StateStore.Open(_directory.Path).LoadSnapshot(made.Id);
        (SafeFileHandle state, SavedFile first) = _store.OpenSnapshotFile(read.Id, read.Memory!.DeviceState, CancellationToken.None);
        (SafeFileHandle memory, SavedFile second) = _store.OpenSnapshotFile(read.Id, read.Memory.Memory, CancellationToken.None);
        state.Dispose();
        memory.Dispose();

        Assert.Same(read.Memory.DeviceState, first);
        Assert.Same(read.Memory.Memory, second);
    }

    [Fact]
    public void Snapshot_DisposedBeforePublishing_LeavesNothing()
    {
        using StateLease lease = _store.Enter();
        using (SnapshotStaging staging = _store.StageSnapshot(lease))
        {
            StateTest.AddFile(staging, "memory", 1);
        }

        Assert.Empty(Directory.EnumerateFileSystemEntries(_store.Layout.Snapshots));
    }

    [Fact]
    public void Snapshot_FileWrittenToAfterItWasDescribed_IsNotPublished()
    {
        using StateLease lease = _store.Enter();
        Assert.Throws<StateConflictException>(() => _store.AddSnapshot(lease, SnapshotKind.Checkpoint, change: manifest =>
        {
            string path = Path.Combine(Assert.Single(Directory.GetDirectories(_store.Layout.Snapshots)), "memory");
            File.SetUnixFileMode(path, (UnixFileMode)0x180);
            File.WriteAllBytes(path, [1]);
            return manifest;
        }));

        Assert.Empty(Directory.EnumerateFileSystemEntries(_store.Layout.Snapshots));
    }

    [Fact]
    public void Snapshot_FileDamaged_IsRefusedWithItsName()
    {
        SnapshotManifest made = _store.AddCheckpoint();
        string path = Path.Combine(_store.Layout.Snapshot(made.Id), "memory");
        File.SetUnixFileMode(path, (UnixFileMode)0x180);
        byte[] content = File.ReadAllBytes(path);
        content[^1] ^= 4;
        File.WriteAllBytes(path, content);

        StateFileException failure = Assert.Throws<StateFileException>(
            () => _store.OpenSnapshotFile(made.Id, made.Memory!.Memory, CancellationToken.None));

        Assert.Contains(path, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AmendSnapshot_DigestsAndName_AreChangedAndNothingElseMayBe()
    {
        SnapshotManifest made = _store.AddCheckpoint();

        SnapshotManifest amended = _store.AmendSnapshot(made.Id, static manifest => manifest with { Name = "x", Retained = true });

        Assert.Equal("x", _store.LoadSnapshot(made.Id).Name);
        Assert.True(amended.Retained);
        foreach (Func<SnapshotManifest, SnapshotManifest> change in (Func<SnapshotManifest, SnapshotManifest>[])
            [
                static manifest => manifest with { SandboxId = Samples.OtherSandboxId },
                static manifest => manifest with { Kind = SnapshotKind.Hibernation },
                static manifest => manifest with { Memory = null },
                static manifest => manifest with { Disks = new DiskChains() },
                static manifest => manifest with { GoldenKey = new string('0', 64) },
                static manifest => manifest with { Sandbox = manifest.Sandbox with { PidsMax = 9 } },
            ])
        {
            Assert.Throws<ArgumentException>(() => _store.AmendSnapshot(made.Id, change));
        }

        Assert.Throws<StateNotFoundException>(() => _store.AmendSnapshot("sn-0000000000000000", static manifest => manifest));
    }

    [Fact]
    public void DeleteSnapshot_ThatASandboxSleepsIn_IsRefused()
    {
        _store.AddSandbox();
        SandboxManifest manifest = _store.Hibernate();

        Assert.Contains(manifest.Id, Assert.Throws<StateConflictException>(() => _store.DeleteSnapshot(manifest.SnapshotId!)).Message, StringComparison.Ordinal);
        Assert.Single(_store.ListSnapshots().Items);
    }

    [Fact]
    public void DeleteSnapshot_Checkpoint_IsGoneWithAllFiles()
    {
        SnapshotManifest made = _store.AddCheckpoint();

        Assert.Null(_store.DeleteSnapshot(made.Id));

        Assert.Empty(Directory.EnumerateFileSystemEntries(_store.Layout.Snapshots));
        Assert.Throws<StateNotFoundException>(() => _store.DeleteSnapshot(made.Id));
        Assert.Throws<StateNotFoundException>(() => _store.LoadSnapshot(made.Id));
    }

    private static byte[] Damage(string path)
    {
        byte[] content = File.ReadAllBytes(path);
        content[^20] ^= 1;
        File.WriteAllBytes(path, content);
        return content;
    }
}
