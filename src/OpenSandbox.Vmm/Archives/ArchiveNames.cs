using System.Buffers;

namespace OpenSandbox.Vmm.Archives;

/// <summary>
/// The names that an archive may have, in this order: <c>device-state</c>, <c>memory</c>, <c>layers/ID.qcow2</c>. No other name is written or
/// accepted, so that none can lead anywhere else.
/// </summary>
internal static class ArchiveNames
{
    internal const string DeviceState = "device-state";
    internal const string Memory = "memory";

    /// <summary>Longest name, bytes.</summary>
    internal const int MaxLength = 7 + MaxIdLength + 6;

    private const string LayerStart = "layers/";
    private const string LayerEnd = ".qcow2";
    private const int MaxIdLength = 64;
    private const int LayerRank = 2;

    private static readonly SearchValues<char> s_idCharacters = SearchValues.Create("abcdefghijklmnopqrstuvwxyz0123456789-");

    /// <summary>The name of a layer.</summary>
    /// <param name="id">1 to 64 of <c>a-z</c>, <c>0-9</c> and <c>-</c>, not beginning with <c>-</c>.</param>
    internal static string Layer(string id) => IsId(id)
        ? $"{LayerStart}{id}{LayerEnd}"
        : throw new ArgumentException("not the id of a layer", nameof(id));

    /// <summary>The id in the name of a layer; false for other names.</summary>
    internal static bool TryGetLayerId(string name, out string id)
    {
        bool isLayer = name.Length > LayerStart.Length + LayerEnd.Length
            && name.StartsWith(LayerStart, StringComparison.Ordinal)
            && name.EndsWith(LayerEnd, StringComparison.Ordinal);
        id = isLayer ? name[LayerStart.Length..^LayerEnd.Length] : "";
        return isLayer && IsId(id);
    }

    /// <summary>Whether a name may stand behind another, and is one at all.</summary>
    /// <param name="name">The name.</param>
    /// <param name="previous">The names before it, in order.</param>
    internal static bool MayFollow(string name, IReadOnlyList<ArchiveEntry> previous)
    {
        int rank = RankOf(name), before = previous.Count == 0 ? -1 : RankOf(previous[^1].Name);
        return rank > before
            || (rank == LayerRank && rank == before && !previous.Any(entry => string.Equals(entry.Name, name, StringComparison.Ordinal)));
    }

    private static int RankOf(string name) => name switch
    {
        DeviceState => 0,
        Memory => 1,
        _ => TryGetLayerId(name, out _) ? LayerRank : -1,
    };

    private static bool IsId(string id) =>
        id.Length is >= 1 and <= MaxIdLength && id[0] != '-' && !id.AsSpan().ContainsAnyExcept(s_idCharacters);
}
