using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Tests.State;

public sealed class CheckpointRetentionTests
{
    [Theory]
    [InlineData(0, "1 2 3")]
    [InlineData(1, "1 2")]
    [InlineData(2, "1")]
    [InlineData(3, "")]
    [InlineData(10, "")]
    public void KeepLast_SomeCheckpoints_DeletesTheOldestFirst(int count, string expected)
    {
        SnapshotManifest[] snapshots = [Made(2), Made(3), Made(1), Made(0) with { Kind = SnapshotKind.Hibernation }];

        Assert.Equal(expected, string.Join(' ', CheckpointRetention.KeepLast(snapshots, count).Select(static one => one.CreatedAt.Minute)));
    }

    [Fact]
    public void KeepLast_SeveralSandboxes_CountsEachAlone()
    {
        SnapshotManifest[] snapshots = [Made(1), Made(2), Made(3) with { SandboxId = Samples.OtherSandboxId }];

        Assert.Equal([1], CheckpointRetention.KeepLast(snapshots, 1).Select(static one => one.CreatedAt.Minute));
    }

    [Fact]
    public void KeepLast_Retained_StaysAndDoesNotCount()
    {
        SnapshotManifest[] snapshots = [Made(1) with { Retained = true }, Made(2), Made(3), Made(4) with { Retained = true }];

        Assert.Equal([2], CheckpointRetention.KeepLast(snapshots, 1).Select(static one => one.CreatedAt.Minute));
    }

    [Fact]
    public void KeepLast_OfOneInstant_IsTheSameForEverybody()
    {
        SnapshotManifest[] snapshots = [.. Enumerable.Range(1, 9).Select(static id => Made(5, id))];

        Assert.Equal(
            CheckpointRetention.KeepLast(snapshots, 4).Select(static one => one.Id),
            CheckpointRetention.KeepLast(snapshots.Reverse(), 4).Select(static one => one.Id));
    }

    private static SnapshotManifest Made(int minute, int? id = null) =>
        Samples.Snapshot($"sn-{id ?? minute:x16}", SnapshotKind.Checkpoint) with { CreatedAt = new DateTimeOffset(2026, 1, 1, 0, minute, 0, TimeSpan.Zero) };
}
