using System.Globalization;

namespace OpenSandbox.Cli.Parsing;

/// <summary>Sizes of files on the command line: a number with <c>m</c>, <c>g</c> or <c>t</c> behind it.</summary>
internal static class DiskSize
{
    /// <summary>Reads a size.</summary>
    /// <param name="text">Such as <c>512m</c>.</param>
    /// <param name="largest">Largest, MiB.</param>
    /// <param name="mib">The size, MiB.</param>
    /// <returns>Whether it is one, from 1 MiB.</returns>
    internal static bool TryParseMib(string text, int largest, out int mib)
    {
        mib = 0;
        int shift = text.Length == 0 ? -1 : char.ToLowerInvariant(text[^1]) switch { 'm' => 0, 'g' => 10, 't' => 20, _ => -1 };
        if (shift < 0 || !int.TryParse(text.AsSpan(0, text.Length - 1), NumberStyles.None, CultureInfo.InvariantCulture, out int number))
        {
            return false;
        }

        long size = (long)number << shift;
        mib = (int)Math.Min(size, int.MaxValue);
        return size >= 1 && size <= largest;
    }
}
