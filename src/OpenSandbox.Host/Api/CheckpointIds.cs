using System.Diagnostics.CodeAnalysis;

namespace OpenSandbox.Host.Api;

/// <summary>Clients expect UUIDs for checkpoints. A snapshot's id, <c>sn-</c> and 16 hexadecimal digits, is one written in another way (version 8).</summary>
internal static class CheckpointIds
{
    private const string Prefix = "sn-";
    private const int Digits = 16;
    private static readonly System.Buffers.SearchValues<char> s_hex = System.Buffers.SearchValues.Create("0123456789abcdef");

    internal static string ToUuid(string snapshotId)
    {
        string hex = snapshotId[Prefix.Length..];
        return $"{hex[..8]}-{hex[8..12]}-8{hex[12..15]}-8{hex[15]}00-000000000000";
    }

    internal static bool TryToSnapshot(string id, [NotNullWhen(true)] out string? snapshotId)
    {
        snapshotId = null;
        if (id.StartsWith(Prefix, StringComparison.Ordinal))
        {
            snapshotId = id;
        }
        else if (Guid.TryParseExact(id, "D", out _))
        {
            string lower = id.ToLowerInvariant();
            snapshotId = $"{Prefix}{lower[..8]}{lower[9..13]}{lower[15..18]}{lower[20]}";
            if (ToUuid(snapshotId) != lower)
            {
                snapshotId = null;
            }
        }

        if (snapshotId is { Length: Digits + 3 } && snapshotId.AsSpan(Prefix.Length).ContainsAnyExcept(s_hex))
        {
            snapshotId = null;
        }

        return snapshotId is { Length: Digits + 3 };
    }
}
