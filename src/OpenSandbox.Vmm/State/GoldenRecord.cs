using OpenSandbox.Vmm.Golden;

namespace OpenSandbox.Vmm.State;

/// <summary>The golden snapshot that a running machine's memory is a copy of.</summary>
internal sealed record GoldenRecord
{
    /// <summary>What it was made from.</summary>
    public required GoldenIdentity Identity { get; init; }

    /// <summary>Name of its directory.</summary>
    public required string Key { get; init; }

    /// <summary>Digest of its RAM.</summary>
    public required string RamSha256 { get; init; }

    internal static GoldenRecord From(GoldenReference golden) => new() { Identity = golden.Identity, Key = golden.Key, RamSha256 = golden.RamSha256 };

    internal GoldenReference ToReference() => new(Key, Identity, RamSha256);

    internal void Validate(string field)
    {
        IdentityRules.Validate(Identity, $"{field}.identity");
        ManifestRules.Require(StateIds.IsDigest(Key), $"{field}.key", "it is not 64 hexadecimal digits in lower case");
        ManifestRules.Require(StateIds.IsDigest(RamSha256), $"{field}.ramSha256", "it is not 64 hexadecimal digits in lower case");
    }
}
