using System.Text.Json.Serialization;

namespace OpenSandbox.Vmm.State;

/// <summary>A finished file that is never changed again, and how to tell that it has not been; see <see cref="SavedFiles"/>.</summary>
internal sealed record SavedFile
{
    /// <summary>Largest length that is believed: 64 TiB.</summary>
    internal const long MaxBytes = 1L << 46;

    /// <summary>Its name in its directory: lower-case letters, digits, dots and hyphens, no dot at the start.</summary>
    public required string Name { get; init; }

    /// <summary>Its digest; <see langword="null"/>: not computed yet, so that only the stamp vouches for it.</summary>
    public string? Sha256 { get; init; }

    /// <summary>Its state when it was finished.</summary>
    public required FileStamp Stamp { get; init; }

    /// <summary>Its length, bytes.</summary>
    [JsonIgnore]
    public long Bytes => Stamp.Bytes;

    internal static bool IsName(string? name) =>
        name is { Length: > 0 and <= 64 } && name[0] != '.'
            && name.All(static c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c is '.' or '-');

    internal void Validate(string field)
    {
        ManifestRules.Require(IsName(Name), $"{field}.name", "it is not 1 to 64 lower-case letters, digits, dots and hyphens");
        ManifestRules.Require(Sha256 is null || StateIds.IsDigest(Sha256), $"{field}.sha256", "it is not 64 hexadecimal digits in lower case");
        Stamp.Validate($"{field}.stamp");
    }
}
