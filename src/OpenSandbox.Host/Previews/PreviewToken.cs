using System.Security.Cryptography;
using System.Text;
using OpenSandbox.Host.Errors;

namespace OpenSandbox.Host.Previews;

/// <summary>Tokens that previews ask for. Only their digests are kept.</summary>
internal static class PreviewToken
{
    private const int Bytes = 32;
    private const int MinLength = 16;
    private const int MaxLength = 512;
    private const string Automatic = "auto";

    /// <summary>The token that a client has asked for.</summary>
    /// <exception cref="ApiException">400: it cannot be one.</exception>
    internal static string From(string? wanted)
    {
        if (wanted is null or "" or Automatic)
        {
            return Make();
        }

        return wanted.Length is >= MinLength and <= MaxLength && wanted.All(static c => c is > ' ' and <= '~' and not (';' or ',' or '"'))
            ? wanted
            : throw ApiException.Bad($"previewAuth.token: '{Automatic}', or {MinLength} to {MaxLength} visible ASCII characters without ; , \"");
    }

    /// <summary>A new one.</summary>
    internal static string Make() => Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(Bytes));

    /// <summary>What is kept of one.</summary>
    internal static string DigestOf(string token) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(token)));

    /// <summary>For previews of which nobody knows any more who may see them: no token fits, until a new one is made.</summary>
    internal static string DigestOfNone() => DigestOf(Make());

    /// <summary>Whether a token is the one. Takes as long for each wrong one as for any other.</summary>
    internal static bool Matches(string token, string digest) =>
        CryptographicOperations.FixedTimeEquals(Encoding.ASCII.GetBytes(DigestOf(token)), Encoding.ASCII.GetBytes(digest));
}
