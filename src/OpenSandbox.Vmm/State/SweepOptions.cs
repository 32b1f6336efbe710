namespace OpenSandbox.Vmm.State;

/// <summary>What to sweep beside what nothing names.</summary>
internal sealed record SweepOptions
{
    /// <summary>
    /// The directory whose entries are the runtime directories of VMs, each named by its sandbox's id, perhaps with a dot and more behind.
    /// Those of sandboxes that do not run, or do not exist, are removed, so that one is made under a lease that is held until a manifest
    /// names the VM. Default: none is looked at.
    /// </summary>
    public string? RuntimeDirectory { get; init; }

    /// <summary>
    /// Keys of the golden snapshots in use; others that no snapshot names are removed. Default: <see langword="null"/>, golden snapshots are
    /// left alone.
    /// </summary>
    public IReadOnlySet<string>? CurrentGoldenKeys { get; init; }

    /// <summary>Whether only to say what would be removed. Default: no.</summary>
    public bool DryRun { get; init; }
}
