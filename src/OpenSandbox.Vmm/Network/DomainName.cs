using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace OpenSandbox.Vmm;

/// <summary>Domain names in the one form in which they are compared: ASCII, lower case, no final dot.</summary>
internal static class DomainName
{
    /// <summary>RFC 1035: 255 bytes on the wire are 253 characters.</summary>
    internal const int MaxLength = 253;

    private const int MaxLabel = 63;
    private static readonly IdnMapping s_idn = new();

    /// <summary>Normalises the name of a rule; refuses what can be no host's name.</summary>
    internal static bool TryNormalize(string text, [NotNullWhen(true)] out string? name, out string problem)
    {
        name = null;
        string folded = text.EndsWith('.') ? text[..^1] : text;
        if (folded.Length is 0 or > MaxLength)
        {
            problem = $"a name has 1 to {MaxLength} characters";
            return false;
        }

        if (!System.Text.Ascii.IsValid(folded))
        {
            try
            {
                // Lower case first: without ICU the runtime maps no case itself.
                folded = s_idn.GetAscii(folded.ToLowerInvariant());
            }
            catch (ArgumentException)
            {
                problem = "the name cannot be written in punycode";
                return false;
            }
        }

        folded = folded.ToLowerInvariant();
        string[] labels = folded.Split('.');
        if (folded.Length > MaxLength || !labels.All(IsLabel))
        {
            problem = "a name consists of labels of 1 to 63 letters, digits, hyphens and underscores; '*' stands alone or as '*.' in front";
            return false;
        }

        if (labels[^1].All(char.IsAsciiDigit))
        {
            problem = "it is neither an IP address nor a name: no top-level domain is a number";
            return false;
        }

        name = folded;
        problem = "";
        return true;
    }

    private static bool IsLabel(string label) => label.Length is > 0 and <= MaxLabel && label[0] != '-' && label[^1] != '-'
        && label.All(static c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_');
}
