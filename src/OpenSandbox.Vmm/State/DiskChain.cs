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

    /// <summary>Whether every layer is frozen, as those of snapshots and of hibernated sandboxes must be.</summary>
    [JsonIgnore]
    internal bool IsFrozen => Layers.All(static layer => layer.File is not null);

    internal void Validate(string field)
    {
        ManifestRules.Require(StateIds.IsDigest(ImageDigest), $"{field}.imageDigest", "it is not 64 hexadecimal digits in lower case");
        ManifestRules.Range(VirtualBytes, 512, SavedFile.MaxBytes, $"{field}.virtualBytes");
        ManifestRules.Range(Layers.Count, 0, MaxLayers, $"{field}.layers (entries)");
        var seen = new HashSet<string>(StringComparer.Ordinal);
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
