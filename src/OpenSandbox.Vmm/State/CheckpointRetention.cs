namespace OpenSandbox.Vmm.State;

/// <summary>Which checkpoints are too many.</summary>
internal static class CheckpointRetention
{
    /// <summary>The checkpoints to delete so that each sandbox has only its newest ones left.</summary>
    /// <param name="snapshots">Snapshots of any sandboxes and kinds.</param>
    /// <param name="count">How many checkpoints stay per sandbox, from 0. Retained ones stay and do not count.</param>
    /// <returns>What to delete, oldest first. Never hibernation snapshots.</returns>
    internal static IReadOnlyList<SnapshotManifest> KeepLast(IEnumerable<SnapshotManifest> snapshots, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        return
        [
            .. snapshots
                .Where(static snapshot => snapshot is { Kind: SnapshotKind.Checkpoint, Retained: false })
                .GroupBy(static snapshot => snapshot.SandboxId, StringComparer.Ordinal)
                .SelectMany(group => Ordered(group).SkipLast(count))
                .OrderBy(static snapshot => snapshot.CreatedAt).ThenBy(static snapshot => snapshot.Id, StringComparer.Ordinal),
        ];
    }

    // The id decides between those of one instant, so that every caller deletes the same.
    private static IEnumerable<SnapshotManifest> Ordered(IEnumerable<SnapshotManifest> snapshots) =>
        snapshots.OrderBy(static snapshot => snapshot.CreatedAt).ThenBy(static snapshot => snapshot.Id, StringComparer.Ordinal);
}
