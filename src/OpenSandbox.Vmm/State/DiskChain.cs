using System.Text.Json.Serialization;

namespace OpenSandbox.Vmm.State;

/// <summary>What a disk consists of: a base image and the layers above it.</summary>
internal sealed record DiskChain
{
    /// <summary>Most layers of one disk; chains are flattened long before.</summary>
    internal const int MaxLayers = 256;

    /// <summary>Content digest of the base image, which is the name of its directory too.</summary>
    public required string ImageDigest { get; init; }

    /// <summary>Size of the disk that the guest sees, bytes.</summary>
    [JsonRequired]
    public long VirtualBytes { get; init; }

    /// <summary>The layers from the one above the image to the top. Empty: nothing but the image.</summary>
    public required IReadOnlyList<LayerRef> Layers { get; init; }

    /// <summary>
    /// A new, empty layer that a running machine is being moved to: the active layer is this one or the topmost of <see cref="Layers"/>,
    /// which the machine knows. If the machine is gone, it lies on top of them: it is empty, or has what was written last.
    /// </summary>
    public string? Pending { get; init; }

    /// <summary>Whether every layer is frozen, as those of snapshots and of hibernated sandboxes must be.</summary>
    [JsonIgnore]
    internal bool IsFrozen => Pending is null && Layers.All(static layer => layer.File is not null);

    /// <summary>All layers that it names.</summary>
    [JsonIgnore]
    internal IEnumerable<string> LayerIds => Layers.Select(static layer => layer.Id).Concat(Pending is null ? [] : [Pending]);

    internal void Validate(string field)
    {
        ManifestRules.Require(StateIds.IsDigest(ImageDigest), $"{field}.imageDigest", "it is not 64 hexadecimal digits in lower case");
        ManifestRules.Range(VirtualBytes, 512, SavedFile.MaxBytes, $"{field}.virtualBytes");
        ManifestRules.Range(Layers.Count, 0, MaxLayers, $"{field}.layers (entries)");
        ManifestRules.Require(Pending is null || StateIds.IsLayer(Pending), $"{field}.pending", "it is not ly- and 16 hexadecimal digits");
        var seen = new HashSet<string>(StringComparer.Ordinal);
        _ = Pending is not null && seen.Add(Pending);
        for (int index = 0; index < Layers.Count; index++)
        {
            string name = $"{field}.layers[{index}]";
            ManifestRules.Require(Layers[index] is not null, name, "it is null");
            Layers[index].Validate(name);
            ManifestRules.Require(seen.Add(Layers[index].Id), name, $"layer {Layers[index].Id} stands twice in the chain");
            ManifestRules.Require(
                Layers[index].File is not null || index == Layers.Count - 1, name, "a layer below the top is not frozen (it has no file)");
        }
    }
}
