using System.Text.Json.Serialization;

namespace OpenSandbox.Vmm.State;

/// <summary>What is read of a manifest first, whatever else its format has.</summary>
[JsonUnmappedMemberHandling(JsonUnmappedMemberHandling.Skip)]
internal sealed record ManifestHeader
{
    /// <summary>The format.</summary>
    [JsonRequired]
    public int Format { get; init; }
}
