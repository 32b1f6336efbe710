using System.Globalization;

namespace OpenSandbox.Cli.Reporting;

/// <summary>Columns for people and for <c>awk</c>: no lines, no colours, two blanks between.</summary>
internal static class TextTable
{
    /// <summary>Writes a heading and rows.</summary>
    internal static void Write(TextWriter output, string[] heading, IReadOnlyList<string[]> rows)
    {
        int[] widths = [.. heading.Select((title, column) => Math.Max(title.Length, rows.Count == 0 ? 0 : rows.Max(row => row[column].Length)))];
        foreach (string[] row in rows.Prepend(heading))
        {
            output.WriteLine(string.Join("  ", row.Select((cell, column) => cell.PadRight(widths[column]))).TrimEnd());
        }
    }

    /// <summary>A number of bytes as people read it.</summary>
    internal static string Bytes(long bytes)
    {
        ReadOnlySpan<string> units = ["B", "KiB", "MiB", "GiB", "TiB"];
        double value = bytes;
        int unit = 0;
        while (value >= 1_024 && unit < units.Length - 1)
        {
            value /= 1_024;
            unit++;
        }

        return string.Create(CultureInfo.InvariantCulture, $"{Math.Round(value, value < 10 && unit > 0 ? 1 : 0)} {units[unit]}");
    }
}
