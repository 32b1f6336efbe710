using System.Text.Json.Serialization;

namespace OpenSandbox.Vmm.State;

/// <summary>The part of a snapshot that lets a VM go on where it stopped.</summary>
internal sealed record SnapshotMemory
{
    /// <summary>State of CPUs and devices, as QEMU wrote it.</summary>
    public required SavedFile DeviceState { get; init; }

    /// <summary>The pages in which the VM's memory differs from the golden snapshot's.</summary>
    public required SavedFile Memory { get; init; }

    /// <summary>Memory that was plugged in, bytes.</summary>
    [JsonRequired]
    public long PluggedBytes { get; init; }

    /// <summary>Memory that was to be plugged in, bytes.</summary>
    [JsonRequired]
    public long RequestedPluggedBytes { get; init; }

    /// <summary>How many of the pages are of the RAM that the golden snapshot has.</summary>
    [JsonRequired]
    public long RamPages { get; init; }

    /// <summary>How many of the pages are of plugged memory.</summary>
    [JsonRequired]
    public long PluggedPages { get; init; }

    internal void Validate(string field)
    {
        DeviceState.Validate($"{field}.deviceState");
        Memory.Validate($"{field}.memory");
        ManifestRules.Require(DeviceState.Name != Memory.Name, field, "device state and memory are the same file");
        ManifestRules.Range(PluggedBytes, 0, SavedFile.MaxBytes, $"{field}.pluggedBytes");
        ManifestRules.Range(RequestedPluggedBytes, 0, SavedFile.MaxBytes, $"{field}.requestedPluggedBytes");
        ManifestRules.Range(RamPages, 0, SavedFile.MaxBytes, $"{field}.ramPages");
        ManifestRules.Range(PluggedPages, 0, SavedFile.MaxBytes, $"{field}.pluggedPages");
    }
}
