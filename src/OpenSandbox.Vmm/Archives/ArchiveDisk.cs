using System.Text.Json.Serialization;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Archives;

/// <summary>What an archive says of a disk: the image below, which is not in the archive, under the one layer that is.</summary>
internal sealed record ArchiveDisk
{
    /// <summary>Longest name of an image, bytes.</summary>
    private const int MaxNameBytes = 64;

    /// <summary>Content digest of the image.</summary>
    public required string ImageDigest { get; init; }

    /// <summary>A name that it had where the archive was made, for people.</summary>
    public string? ImageName { get; init; }

    /// <summary>Size of the disk that the guest sees, bytes.</summary>
    [JsonRequired]
    public long VirtualBytes { get; init; }

    internal void Validate(string field)
    {
        ManifestRules.Require(StateIds.IsDigest(ImageDigest), $"{field}.imageDigest", "it is not 64 hexadecimal digits in lower case");
        ManifestRules.Range(VirtualBytes, 512, Disks.Qcow2Overlay.MaxVirtualSize, $"{field}.virtualBytes");
        if (ImageName is not null)
        {
            ManifestRules.Text(ImageName, 1, MaxNameBytes, $"{field}.imageName");
            ManifestRules.Require(!ImageName.Any(char.IsControl), $"{field}.imageName", "it has control characters");
        }
    }
}
