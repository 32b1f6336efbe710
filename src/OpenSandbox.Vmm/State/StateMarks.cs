namespace OpenSandbox.Vmm.State;

/// <summary>All that the manifests of a state directory name.</summary>
internal sealed class StateMarks
{
    private StateMarks(StateListing<SandboxManifest> sandboxes, StateListing<SnapshotManifest> snapshots)
    {
        Sandboxes = sandboxes.Items.ToDictionary(static sandbox => sandbox.Id, StringComparer.Ordinal);
        Snapshots = snapshots.Items;
        Damaged = [.. sandboxes.Damaged, .. snapshots.Damaged];
        DamagedSandboxes = sandboxes.Damaged.Select(static entry => entry.Id ?? "").ToHashSet(StringComparer.Ordinal);
        IEnumerable<DiskChain> chains = [.. sandboxes.Items.SelectMany(static sandbox => sandbox.Disks.All()),
            .. snapshots.Items.SelectMany(static snapshot => snapshot.Disks.All())];
        Layers = chains.SelectMany(static chain => chain.LayerIds).ToHashSet(StringComparer.Ordinal);
        Images = chains.Select(static chain => chain.ImageDigest).ToHashSet(StringComparer.Ordinal);
        NamedSnapshots = sandboxes.Items.SelectMany(static sandbox => (IEnumerable<string?>)[sandbox.SnapshotId, sandbox.Operation?.SnapshotId])
            .OfType<string>().ToHashSet(StringComparer.Ordinal);
        GoldenKeys = snapshots.Items.Select(static snapshot => snapshot.GoldenKey)
            .Concat(sandboxes.Items.Select(static sandbox => sandbox.Golden?.Key).OfType<string>())
            .ToHashSet(StringComparer.Ordinal);
    }

    internal IReadOnlyDictionary<string, SandboxManifest> Sandboxes { get; }

    internal IReadOnlyList<SnapshotManifest> Snapshots { get; }

    /// <summary>What cannot be read and may name anything.</summary>
    internal IReadOnlyList<DamagedEntry> Damaged { get; }

    internal IReadOnlySet<string> DamagedSandboxes { get; }

    internal IReadOnlySet<string> Layers { get; }

    internal IReadOnlySet<string> Images { get; }

    /// <summary>Snapshots that a sandbox sleeps in, or that a change under way makes or uses.</summary>
    internal IReadOnlySet<string> NamedSnapshots { get; }

    internal IReadOnlySet<string> GoldenKeys { get; }

    /// <summary>
    /// Reads all manifests. Snapshots come first: a sandbox that moves on from one commits its manifest before the snapshot goes, so that
    /// what is not seen in the one is seen in the other.
    /// </summary>
    /// <param name="store">Where.</param>
    /// <param name="without">Ids of sandboxes and snapshots that count as gone already. Default: none.</param>
    internal static StateMarks Read(StateStore store, IReadOnlySet<string>? without = null)
    {
        StateListing<SnapshotManifest> snapshots = store.ListSnapshots();
        StateListing<SandboxManifest> sandboxes = store.ListSandboxes();
        return without is null
            ? new StateMarks(sandboxes, snapshots)
            : new StateMarks(
                sandboxes with { Items = [.. sandboxes.Items.Where(sandbox => !without.Contains(sandbox.Id))] },
                snapshots with { Items = [.. snapshots.Items.Where(snapshot => !without.Contains(snapshot.Id))] });
    }
}
