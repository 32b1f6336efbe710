using System.Buffers;
using System.Security.Cryptography;

namespace OpenSandbox.Vmm.State;

/// <summary>Ids of what is kept on disk. They become parts of paths, so nothing else than these forms ever does.</summary>
internal static class StateIds
{
    private const string LayerPrefix = "ly-";
    private const string SnapshotPrefix = "sn-";
    private const string SandboxPrefix = "sb-";
    private const int RandomDigits = 16;

    private static readonly SearchValues<char> s_digits = SearchValues.Create("0123456789abcdef");

    internal static string NewLayer() => New(LayerPrefix);

    internal static string NewSnapshot() => New(SnapshotPrefix);

    internal static bool IsLayer(string? id) => Is(id, LayerPrefix, RandomDigits, RandomDigits);

    internal static bool IsSnapshot(string? id) => Is(id, SnapshotPrefix, RandomDigits, RandomDigits);

    /// <summary>Sandboxes: <c>sb-</c> and 8 to 32 hexadecimal digits in lower case.</summary>
    internal static bool IsSandbox(string? id) => Is(id, SandboxPrefix, 8, 32);

    /// <summary>SHA-256 as this library writes it.</summary>
    internal static bool IsDigest(string? text) => text is { Length: 64 } && text.All(char.IsAsciiHexDigitLower);

    /// <exception cref="ArgumentException">It is none.</exception>
    internal static void RequireLayer(string id) => Require(IsLayer(id), id, "layer", "ly- and 16 hexadecimal digits");

    /// <exception cref="ArgumentException">It is none.</exception>
    internal static void RequireSnapshot(string id) => Require(IsSnapshot(id), id, "snapshot", "sn- and 16 hexadecimal digits");

    /// <exception cref="ArgumentException">It is none.</exception>
    internal static void RequireSandbox(string id) => Require(IsSandbox(id), id, "sandbox", "sb- and 8 to 32 hexadecimal digits");

    private static void Require(bool holds, string id, string what, string form)
    {
        if (!holds)
        {
            throw new ArgumentException($"'{id}' is not the id of a {what}: {form}, in lower case", nameof(id));
        }
    }

    private static bool Is(string? id, string prefix, int fewest, int most) =>
        id is not null && id.StartsWith(prefix, StringComparison.Ordinal)
            && id.Length >= prefix.Length + fewest && id.Length <= prefix.Length + most
            && id.AsSpan(prefix.Length).IndexOfAnyExcept(s_digits) < 0;

    private static string New(string prefix) => prefix + Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(RandomDigits / 2));
}
