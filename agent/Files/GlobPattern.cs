using System.Text;

namespace OpenSandbox.Agent;

/// <summary>
/// A glob: <c>*</c> any characters of one name, <c>?</c> one, <c>[a-z]</c> one of a set, <c>[!a-z]</c> or <c>[^a-z]</c> one that is not,
/// <c>\</c> takes the next character as it is, and <c>**</c> as a whole name any number of directories, also none. Without a slash it is
/// matched with names, else with paths below the searched directory. Case counts; dots are characters like all others. Matching takes time
/// in proportion to pattern times text, whatever they are.
/// </summary>
internal sealed class GlobPattern
{
    /// <summary>The longest pattern, characters.</summary>
    internal const int MaxLength = 1_024;

    private readonly Rune[][] _names;

    private GlobPattern(Rune[][] names, bool matchesPaths)
    {
        _names = names;
        MatchesPaths = matchesPaths;
    }

    /// <summary>Whether it is matched with paths rather than with names.</summary>
    internal bool MatchesPaths { get; }

    /// <summary>Parses a pattern. A bracket that is not closed stands for itself.</summary>
    /// <exception cref="GuestException">It is empty, too long or has a NUL.</exception>
    internal static GlobPattern Parse(string? pattern)
    {
        if (string.IsNullOrEmpty(pattern) || pattern.Length > MaxLength || pattern.Contains('\0', StringComparison.Ordinal))
        {
            GuestException.ThrowInvalid($"pattern: 1 to {MaxLength} characters, no NUL");
        }

        bool paths = pattern.Contains('/', StringComparison.Ordinal);
        var names = new List<Rune[]>();
        foreach (string name in pattern.Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            names.Add([.. name.EnumerateRunes()]);
        }

        return new GlobPattern([.. names], paths);
    }

    /// <summary>Whether a name, or a path without a slash at its ends, matches.</summary>
    internal bool IsMatch(string text)
    {
        string[] names = MatchesPaths ? text.Split('/') : [text];
        int at = 0;
        int with = 0;
        int starAt = -1;
        int starWith = -1;
        while (with < names.Length)
        {
            if (at < _names.Length && MatchesPaths && IsAnyDirectories(_names[at]))
            {
                (starAt, starWith) = (at++, with); // at first for no name at all, then for one more each time that the rest does not match
            }
            else if (at < _names.Length && IsNameMatch(_names[at], [.. names[with].EnumerateRunes()]))
            {
                at++;
                with++;
            }
            else if (starAt >= 0)
            {
                at = starAt + 1;
                with = ++starWith;
            }
            else
            {
                return false;
            }
        }

        while (at < _names.Length && MatchesPaths && IsAnyDirectories(_names[at]))
        {
            at++;
        }

        return at == _names.Length;
    }

    private static bool IsAnyDirectories(Rune[] name) => name.Length == 2 && name[0].Value == '*' && name[1].Value == '*';

    private static bool IsNameMatch(ReadOnlySpan<Rune> pattern, ReadOnlySpan<Rune> text)
    {
        int at = 0;
        int with = 0;
        int starAt = -1;
        int starWith = -1;
        while (with < text.Length)
        {
            if (at < pattern.Length && pattern[at].Value == '*')
            {
                (starAt, starWith) = (at++, with);
            }
            else if (at < pattern.Length && IsCharacterMatch(pattern[at..], text[with], out int used))
            {
                at += used;
                with++;
            }
            else if (starAt >= 0)
            {
                at = starAt + 1;
                with = ++starWith;
            }
            else
            {
                return false;
            }
        }

        while (at < pattern.Length && pattern[at].Value == '*')
        {
            at++;
        }

        return at == pattern.Length;
    }

    /// <param name="pattern">Begins with what stands for one character.</param>
    /// <param name="character">The character.</param>
    /// <param name="used">How much of the pattern that was.</param>
    private static bool IsCharacterMatch(ReadOnlySpan<Rune> pattern, Rune character, out int used)
    {
        used = 1;
        switch (pattern[0].Value)
        {
            case '?':
                return true;
            case '[' when SetEnd(pattern) is var end && end > 0:
                used = end + 1;
                return IsInSet(pattern[1..end], character);
            case '\\' when pattern.Length > 1:
                used = 2;
                return pattern[1] == character;
            default:
                return pattern[0] == character;
        }
    }

    /// <summary>Where a set ends: at the first closing bracket that is not its first member.</summary>
    private static int SetEnd(ReadOnlySpan<Rune> pattern)
    {
        int first = pattern.Length > 1 && pattern[1].Value is '!' or '^' ? 2 : 1;
        for (int i = first + 1; i < pattern.Length; i++)
        {
            if (pattern[i].Value == ']')
            {
                return i;
            }
        }

        return -1;
    }

    private static bool IsInSet(ReadOnlySpan<Rune> set, Rune character)
    {
        bool negated = set[0].Value is '!' or '^';
        set = negated ? set[1..] : set;
        for (int i = 0; i < set.Length; i++)
        {
            Rune low = set[i];
            Rune high = low;
            if (i + 2 < set.Length && set[i + 1].Value == '-')
            {
                high = set[i + 2];
                i += 2;
            }

            if (low <= character && character <= high)
            {
                return !negated;
            }
        }

        return negated;
    }
}
