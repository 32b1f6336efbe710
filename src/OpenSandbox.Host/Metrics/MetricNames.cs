using System.Globalization;

namespace OpenSandbox.Host.Metrics;

/// <summary>Names and labels in Prometheus' text format, by the rules that OpenTelemetry has for it.</summary>
internal static class MetricNames
{
    /// <summary>An instrument's name: the unit in words, and <c>_total</c> for what only grows.</summary>
    internal static string Of(string name, string? unit, bool monotonic)
    {
        string text = string.Concat(name.Select(static c => char.IsAsciiLetterOrDigit(c) ? c : '_'));
        string suffix = unit switch
        {
            null or "" or "1" or ['{', ..] => "",
            "s" => "_seconds",
            "ms" => "_milliseconds",
            "By" => "_bytes",
            _ => "_" + string.Concat(unit.Where(char.IsAsciiLetterOrDigit)),
        };
        if (!text.EndsWith(suffix, StringComparison.Ordinal))
        {
            text += suffix;
        }

        return monotonic && !text.EndsWith("_total", StringComparison.Ordinal) ? text + "_total" : text;
    }

    /// <summary>Writes attributes as labels.</summary>
    /// <returns>Whether there was room.</returns>
    internal static bool TryWriteLabels(Span<char> buffer, ReadOnlySpan<KeyValuePair<string, object?>> attributes, out int length)
    {
        length = 0;
        foreach ((string name, object? value) in attributes)
        {
            if (length > 0 && !TryWrite(buffer, ref length, ","))
            {
                return false;
            }

            foreach (char c in name)
            {
                if (!TryWrite(buffer, ref length, char.IsAsciiLetterOrDigit(c) ? c : '_'))
                {
                    return false;
                }
            }

            if (!TryWrite(buffer, ref length, "=\"") || !TryWriteValue(buffer, ref length, value) || !TryWrite(buffer, ref length, '"'))
            {
                return false;
            }
        }

        return true;
    }

    private static bool TryWriteValue(Span<char> buffer, ref int length, object? value)
    {
        if (value is ISpanFormattable number and not char)
        {
            bool written = number.TryFormat(buffer[length..], out int count, default, CultureInfo.InvariantCulture);
            length += count;
            return written;
        }

        string text = value switch
        {
            null => "",
            bool flag => flag ? "true" : "false",
            _ => value.ToString() ?? "",
        };
        foreach (char c in text)
        {
            bool written = c switch
            {
                '\\' => TryWrite(buffer, ref length, "\\\\"),
                '"' => TryWrite(buffer, ref length, "\\\""),
                '\n' => TryWrite(buffer, ref length, "\\n"),
                _ => TryWrite(buffer, ref length, c),
            };
            if (!written)
            {
                return false;
            }
        }

        return true;
    }

    private static bool TryWrite(Span<char> buffer, ref int length, char c)
    {
        if (length >= buffer.Length)
        {
            return false;
        }

        buffer[length++] = c;
        return true;
    }

    private static bool TryWrite(Span<char> buffer, ref int length, string text)
    {
        if (!text.TryCopyTo(buffer[length..]))
        {
            return false;
        }

        length += text.Length;
        return true;
    }
}
