using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Tests.State;

[Collection(LocksCollection.Name)]
public sealed class StateSweeperTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly StateStore _store;

    public StateSweeperTests() => _store = StateStore.Open(_directory.File("state"));

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void Sweep_NothingToDo_RemovesNothing()
    {
        _store.AddSandbox();
        _store.Hibernate();
        _store.AddCheckpoint();
        _store.Sweep();
        string[] before = _store.Files();

        SweepReport report = _store.Sweep();

        Assert.Empty(report.Removed);
        Assert.Empty(report.Kept);
        Assert.Empty(report.Damaged);
        Assert.Equal(before, _store.Files());
    }

    [Fact]
    public void Sweep_Garbage_IsRemovedAndReported()
    {
        StateScenario.Of("sweep").Arrange(_store);

        SweepReport report = _store.Sweep();

        Assert.Equal(
            ["Layer", "Leftover", "Sandbox", "Snapshot"], report.Removed.Select(static entry => entry.Kind.ToString()).Distinct().Order());
        Assert.Equal(4, report.Removed.Count(static entry => entry.Kind == SweepKind.Leftover));
        Assert.Equal(2, report.Removed.Count(static entry => entry.Kind == SweepKind.Snapshot));
        Assert.All(report.Removed, static entry => Assert.False(Path.Exists(entry.Path)));
        Assert.True(report.FreedBytes > 100_000, $"only {report.FreedBytes} bytes were freed");
        Assert.Equal(StateOutcome.New, StateScenario.Of("sweep").Recover(_store));
    }

    [Fact]
    public void Sweep_DryRun_SaysWhatWouldGoAndRemovesNothing()
    {
        StateScenario.Of("sweep").Arrange(_store);
        string orphan = Path.Combine(_store.Layout.Golden, new string('3', 64));
        Directory.CreateDirectory(orphan);
        File.WriteAllText($"{orphan}.lock", ""); // whoever built it has made it
        var options = new SweepOptions { CurrentGoldenKeys = new HashSet<string> { new('1', 64) } };
        string[] before = [.. _store.Files()];

        SweepReport dry = _store.Sweep(options with { DryRun = true });

        Assert.Equal(before, _store.Files());
        Assert.True(Directory.Exists(orphan));
        SweepReport real = _store.Sweep(options);
        Assert.Subset(Paths(dry, null), Paths(real, null));
        Assert.Equal(Paths(real, SweepKind.Layer), Paths(dry, SweepKind.Layer));
        Assert.Contains(orphan, Paths(dry, SweepKind.Golden));
        Assert.True(dry.FreedBytes >= real.FreedBytes);

        static HashSet<string> Paths(SweepReport report, SweepKind? kind) =>
            [.. report.Removed.Where(entry => kind is null || entry.Kind == kind).Select(static entry => entry.Path)];
    }

    [Fact]
    public void Sweep_LayersOfACheckpointWhoseSandboxIsGone_Stay()
    {
        _store.AddSandbox();
        SnapshotManifest checkpoint = _store.AddCheckpoint();
        using (SandboxLock owner = _store.TryLockSandbox(Samples.SandboxId)!)
        {
            _store.DeleteSandbox(owner);
        }

        _store.Sweep();

        Assert.Equal([checkpoint.Disks.Rootfs!.Layers[0].Id], _store.LayerFiles());
        _store.DeleteSnapshot(checkpoint.Id);
        _store.Sweep();
        Assert.Empty(_store.LayerFiles());
    }

    [Theory]
    [InlineData("sandbox")]
    [InlineData("snapshot")]
    [InlineData("foreign")]
    public void Sweep_WhileSomethingCannotBeRead_RemovesNoLayerAndSaysWhy(string what)
    {
        _store.AddSandbox();
        SnapshotManifest checkpoint = _store.AddCheckpoint();
        LayerRef orphan;
        using (StateLease lease = _store.Enter())
        {
            orphan = _store.LinkLayer(lease);
        }

        string damaged = what switch
        {
            "sandbox" => _store.Layout.SandboxManifest(Samples.SandboxId),
            "snapshot" => _store.Layout.SnapshotManifest(checkpoint.Id),
            _ => Path.Combine(_store.Layout.Sandboxes, "moved-away-by-hand"),
        };
        byte[] whole = File.Exists(damaged) ? File.ReadAllBytes(damaged) : [];
        File.WriteAllBytes(damaged, [1, 2, 3]);
        string[] before = _store.Files();

        SweepReport report = _store.Sweep();

        Assert.Empty(report.Removed);
        Assert.Equal(before, _store.Files());
        Assert.Single(report.Damaged);
        Assert.Contains(report.Kept, entry => entry.Kind == SweepKind.Layer && entry.Path.Contains(orphan.Id, StringComparison.Ordinal));

        // And once it is repaired, the garbage goes and nothing else.
        if (whole.Length > 0)
        {
            File.WriteAllBytes(damaged, whole);
        }
        else
        {
            File.Delete(damaged);
        }

        Assert.Equal(_store.Layout.Layer(orphan.Id), Assert.Single(_store.Sweep().Removed).Path);
        Assert.Equal(2, _store.LayerFiles().Length);
    }

    [Fact]
    public void Sweep_HibernationSnapshotWhileASandboxCannotBeRead_Stays()
    {
        _store.AddSandbox();
        SandboxManifest sleeping = _store.Hibernate();
        File.WriteAllBytes(_store.Layout.SandboxManifest(sleeping.Id), []);

        SweepReport report = _store.Sweep();

        Assert.DoesNotContain(report.Removed, static entry => entry.Kind is SweepKind.Snapshot or SweepKind.Layer);
        Assert.Single(_store.ListSnapshots().Items);
    }

    [Fact]
    public void Sweep_SnapshotOfAnOperationUnderWay_Stays()
    {
        SandboxManifest sandbox = _store.AddSandbox();
        SnapshotManifest snapshot;
        using (StateLease lease = _store.Enter())
        {
            snapshot = _store.AddSnapshot(lease, SnapshotKind.Hibernation);
        }

        using SandboxLock owner = _store.TryLockSandbox(sandbox.Id)!;
        sandbox = _store.CommitSandbox(owner, sandbox with
        {
            Operation = new OperationRecord { Kind = OperationKind.Hibernate, SnapshotId = snapshot.Id, StartedAt = Samples.Time },
        });
        Assert.Empty(_store.Sweep().Removed);
        _store.CommitSandbox(owner, sandbox with { Operation = null });
        Assert.Contains(_store.Sweep().Removed, static entry => entry.Kind == SweepKind.Snapshot);
    }

    [Fact]
    public void Sweep_DeletionWithAVm_IsLeftToWhoeverEndsTheVm()
    {
        SandboxManifest sandbox = _store.AddSandbox();
        using (SandboxLock owner = _store.TryLockSandbox(sandbox.Id)!)
        {
            sandbox = _store.CommitSandbox(owner, sandbox with { State = RecordedState.Deleting, Vm = Samples.Vm });
            Assert.Contains("VM", Assert.Single(_store.Sweep().Kept).Reason, StringComparison.Ordinal);
            sandbox = _store.CommitSandbox(owner, sandbox with { Vm = null });
            Assert.Contains("owner", Assert.Single(_store.Sweep().Kept).Reason, StringComparison.Ordinal);
        }

        Assert.Contains(_store.Sweep().Removed, static entry => entry.Kind == SweepKind.Sandbox);
        Assert.DoesNotContain(_store.Files(), static path => path.Contains('/', StringComparison.Ordinal));
    }

    [Fact]
    public void Sweep_TemporaryManifestOfAnOwnedSandbox_IsLeftAlone()
    {
        SandboxManifest sandbox = _store.AddSandbox();
        string temporary = _store.Layout.SandboxManifest(sandbox.Id) + ".1.tmp";
        File.WriteAllBytes(temporary, [1]);
        using (_store.TryLockSandbox(sandbox.Id))
        {
            Assert.Empty(_store.Sweep().Removed);
        }

        Assert.Equal(temporary, Assert.Single(_store.Sweep().Removed).Path);
    }

    [Fact]
    public void Sweep_ForeignFilesAmongLayers_AreLeftAndNamed()
    {
        string foreign = Path.Combine(_store.Layout.Layers, "backup.qcow2");
        File.WriteAllBytes(foreign, [1]);

        SweepReport report = _store.Sweep();

        Assert.Equal(foreign, Assert.Single(report.Kept).Path);
        Assert.True(File.Exists(foreign));
    }

    [Fact]
    public void Sweep_LinksInLeftovers_AreRemovedAndNotFollowed()
    {
        string outside = _directory.File("outside");
        Directory.CreateDirectory(outside);
        File.WriteAllBytes(Path.Combine(outside, "precious"), [1]);
        string leftover = Path.Combine(_store.Layout.Snapshots, "sn-0000000000000001.1.tmp");
        Directory.CreateDirectory(leftover);
        Directory.CreateSymbolicLink(Path.Combine(leftover, "inside"), outside);
        Directory.CreateSymbolicLink(Path.Combine(_store.Layout.Snapshots, "sn-0000000000000002.1.tmp"), outside);

        Assert.Equal(2, _store.Sweep().Removed.Count);

        Assert.True(File.Exists(Path.Combine(outside, "precious")));
    }

    [Fact]
    public void Sweep_RuntimeDirectories_OfSandboxesThatDoNotRunGo()
    {
        string runtime = _directory.File("run");
        SandboxManifest running = _store.AddSandbox("sb-00000001");
        using (SandboxLock owner = _store.TryLockSandbox(running.Id)!)
        {
            _store.CommitSandbox(owner, running with { Vm = Samples.Vm });
        }

        _store.AddSandbox("sb-00000002");
        _store.Hibernate("sb-00000002");
        _store.AddSandbox("sb-00000003");
        _store.AddSandbox("sb-00000004");
        File.WriteAllBytes(_store.Layout.SandboxManifest("sb-00000004"), []);
        foreach (string name in (string[])["sb-00000001", "sb-00000002", "sb-00000002.old", "sb-00000003", "sb-00000004", "sb-00000005", "root"])
        {
            Directory.CreateDirectory(Path.Combine(runtime, name));
            File.WriteAllBytes(Path.Combine(runtime, name, "socket"), []);
        }

        using (_store.TryLockSandbox("sb-00000003"))
        {
            SweepReport report = _store.Sweep(new SweepOptions { RuntimeDirectory = runtime });
            Assert.Contains(report.Kept, static entry => entry.Path.EndsWith("sb-00000003", StringComparison.Ordinal));
        }

        Assert.Equal(
            ["root", "sb-00000001", "sb-00000003", "sb-00000004"], Directory.GetDirectories(runtime).Select(Path.GetFileName).Order());
    }

    [Fact]
    public void Sweep_GoldenSnapshots_OnlyWhenAskedAndOnlyOrphans()
    {
        string current = new('1', 64);
        string needed = Samples.Identity.ComputeKey();
        string orphan = new('3', 64);
        string locked = new('4', 64);
        _store.AddCheckpoint();
        foreach (string key in (string[])[current, needed, orphan, locked])
        {
            Directory.CreateDirectory(Path.Combine(_store.Layout.Golden, key));
        }

        Assert.Empty(_store.Sweep().Removed);
        using (OpenSandbox.Vmm.Storage.FileLock.TryAcquire(Path.Combine(_store.Layout.Golden, $"{locked}.lock")))
        {
            SweepReport report = _store.Sweep(new SweepOptions { CurrentGoldenKeys = new HashSet<string> { current } });
            Assert.EndsWith(orphan, Assert.Single(report.Removed).Path, StringComparison.Ordinal);
            Assert.EndsWith(locked, Assert.Single(report.Kept).Path, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void ImagesInUse_AreThoseOfSandboxesAndSnapshots_AndAllWhileSomethingCannotBeRead()
    {
        SandboxManifest sandbox = _store.AddSandbox();
        using (StateLease lease = _store.Enter())
        {
            _store.AddSnapshot(lease, SnapshotKind.Checkpoint, change: static manifest => manifest with
            {
                Disks = manifest.Disks with { Workspace = new DiskChain { ImageDigest = Samples.WorkspaceDigest, VirtualBytes = 512, Layers = [] } },
            });
        }

        using StateLease alone = _store.TryEnterExclusive()!;
        ImageUse use = StateSweeper.ImagesInUse(_store, alone);
        Assert.Equal([Samples.ImageDigest, Samples.WorkspaceDigest], use.Digests.Order());
        Assert.False(use.MayRemove(Samples.WorkspaceDigest));
        Assert.True(use.MayRemove(new string('9', 64)));

        File.WriteAllBytes(_store.Layout.SandboxManifest(sandbox.Id), []);
        Assert.False(StateSweeper.ImagesInUse(_store, alone).MayRemove(new string('9', 64)));
    }

    /// <summary>Sweeps of several stores while in all of them sandboxes are made, put to sleep, woken, forked from and deleted: nothing named ever goes.</summary>
    /// <summary>Deleting needs the sandbox's lock but no lease: its directory may go between the listing of a sweep and the look into it.</summary>
    [Fact]
    public async Task Sweep_WhileOthersDelete_IsUndisturbed()
    {
        var mine = StateStore.Open(_store.Layout.Root);
        using var stop = new CancellationTokenSource();
        var deleting = Task.Run(async () =>
        {
            for (int number = 0; !stop.IsCancellationRequested; number++)
            {
                SandboxLock owner;
                using (StateLease lease = await mine.EnterAsync(CancellationToken.None))
                {
                    (owner, _) = mine.CreateSandbox(lease, Samples.Sandbox($"sb-{number % 4:x8}", mine.LinkLayer(lease)));
                }

                using (owner)
                {
                    Assert.Null(mine.DeleteSandbox(owner));
                }
            }
        });

        for (int round = 0; round < 200; round++)
        {
            Assert.Empty((await StateSweeper.SweepAsync(_store, null, CancellationToken.None)).Damaged);
        }

        await stop.CancelAsync();
        await deleting.WaitAsync(StateTest.Patience);
    }

    [Fact]
    public void LeftoversIn_DirectoryThatIsGone_None() => Assert.Empty(StateSweeper.LeftoversIn(_store.Layout.Sandbox("sb-00000001")));

    [Fact]
    public async Task Sweep_BetweenOperationsOfOthers_RemovesNothingThatIsNamed()
    {
        await Task.WhenAll(Enumerable.Range(1, 3).Select(number => Task.Run(() => Work(number)))).WaitAsync(StateTest.Patience);

        _store.Sweep();
        Assert.Empty(_store.LayerFiles());
        Assert.Empty(_store.ListSnapshots().Items);

        async Task Work(int number)
        {
            var mine = StateStore.Open(_store.Layout.Root);
            string id = $"sb-{number:x8}";
            for (int round = 0; round < 12; round++)
            {
                SandboxLock owner;
                SandboxManifest sandbox;
                using (StateLease lease = await mine.EnterAsync(CancellationToken.None))
                {
                    (owner, sandbox) = mine.CreateSandbox(lease, Samples.Sandbox(id, mine.LinkLayer(lease)));
                }

                using (owner)
                {
                    using (StateLease lease = await mine.EnterAsync(CancellationToken.None))
                    {
                        SnapshotManifest snapshot = mine.AddSnapshot(lease, SnapshotKind.Hibernation, id);
                        sandbox = mine.CommitSandbox(
                            owner, sandbox with { State = RecordedState.Hibernated, SnapshotId = snapshot.Id, Disks = snapshot.Disks });
                    }

                    SnapshotManifest asleep = mine.LoadSnapshot(sandbox.SnapshotId!);
                    mine.OpenSnapshotFile(asleep.Id, asleep.Memory!.Memory, CancellationToken.None).File.Dispose();
                    mine.OpenFrozenLayer(sandbox.Disks.Rootfs!.Layers[0], CancellationToken.None).File.Dispose();
                    using (StateLease lease = await mine.EnterAsync(CancellationToken.None))
                    {
                        using LayerFile top = mine.CreateLayerFile(lease, static _ => { });
                        DiskChain rootfs = sandbox.Disks.Rootfs!;
                        sandbox = mine.CommitSandbox(owner, sandbox with
                        {
                            State = RecordedState.Running,
                            SnapshotId = null,
                            Disks = new DiskChains { Rootfs = rootfs with { Layers = [.. rootfs.Layers, new LayerRef { Id = top.Id }] } },
                        });
                    }

                    foreach (LayerRef layer in sandbox.Disks.Rootfs!.Layers)
                    {
                        mine.OpenLayer(layer.Id, readOnly: true).Dispose();
                    }

                    Assert.Empty((await StateSweeper.SweepAsync(mine, null, CancellationToken.None)).Damaged);
                    foreach (LayerRef layer in mine.LoadSandbox(id).Disks.Rootfs!.Layers)
                    {
                        mine.OpenLayer(layer.Id, readOnly: true).Dispose();
                    }

                    Assert.Null(mine.DeleteSandbox(owner));
                }
            }
        }
    }
}
