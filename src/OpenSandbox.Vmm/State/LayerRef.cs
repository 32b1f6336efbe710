namespace OpenSandbox.Vmm.State;

/// <summary>One qcow2 layer of a disk.</summary>
internal sealed record LayerRef
{
    /// <summary>Its id.</summary>
    public required string Id { get; init; }

    /// <summary>Its file once it is frozen; <see langword="null"/> while it is the active layer, which the guest writes to.</summary>
    public SavedFile? File { get; init; }

    internal void Validate(string field)
    {
        ManifestRules.Require(StateIds.IsLayer(Id), $"{field}.id", "it is not ly- and 16 hexadecimal digits");
        if (File is not null)
        {
            File.Validate($"{field}.file");
            ManifestRules.Require(File.Name == StateLayout.LayerName(Id), $"{field}.file.name", $"it is '{File.Name}', not the name of layer {Id}");
        }
    }
}
