using System.Text.Json.Serialization;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Archives;

/// <summary>What an archive says of the memory in it.</summary>
internal sealed record ArchiveMemory
{
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

    internal void Validate(string field, long pluggable)
    {
        ManifestRules.Range(PluggedBytes, 0, pluggable, $"{field}.pluggedBytes");
        ManifestRules.Range(RequestedPluggedBytes, 0, pluggable, $"{field}.requestedPluggedBytes");
        ManifestRules.Range(RamPages, 0, SavedFile.MaxBytes, $"{field}.ramPages");
        ManifestRules.Range(PluggedPages, 0, SavedFile.MaxBytes, $"{field}.pluggedPages");
    }
}
