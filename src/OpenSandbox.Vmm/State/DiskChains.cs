namespace OpenSandbox.Vmm.State;

/// <summary>The disks of a sandbox.</summary>
internal sealed record DiskChains
{
    /// <summary>The root file system, if it has one.</summary>
    public DiskChain? Rootfs { get; init; }

    /// <summary>The workspace, if it has one.</summary>
    public DiskChain? Workspace { get; init; }

    /// <summary>Both, as far as there are.</summary>
    internal IEnumerable<DiskChain> All()
    {
        if (Rootfs is not null)
        {
            yield return Rootfs;
        }

        if (Workspace is not null)
        {
            yield return Workspace;
        }
    }

    internal void Validate(string field, bool mustBeFrozen)
    {
        Rootfs?.Validate($"{field}.rootfs");
        Workspace?.Validate($"{field}.workspace");
        foreach (DiskChain chain in All())
        {
            ManifestRules.Require(!mustBeFrozen || chain.IsFrozen, field, "its top layer is not frozen (it has no file)");
        }

        ManifestRules.Require(
            Rootfs is null || Workspace is null || !Rootfs.Layers.Any(layer => Workspace.Layers.Any(other => other.Id == layer.Id)),
            field,
            "both disks have the same layer");
    }
}
