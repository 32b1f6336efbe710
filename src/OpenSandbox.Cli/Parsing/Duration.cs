using System.Buffers;
using System.Globalization;

namespace OpenSandbox.Cli.Parsing;

/// <summary>A duration as people write it: <c>30</c> (seconds), <c>1.5</c>, <c>500ms</c>, <c>30s</c>, <c>5m</c>, <c>2h</c>.</summary>
internal static class Duration
{
    private static readonly SearchValues<char> s_numberCharacters = SearchValues.Create("0123456789.");
    private static readonly TimeSpan s_least = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan s_most = TimeSpan.FromDays(366);

    /// <summary>Reads a duration of at least a millisecond and at most a year.</summary>
    /// <param name="text">What the user wrote.</param>
    /// <param name="duration">The duration.</param>
    /// <param name="problem">What is wrong with it.</param>
    /// <returns>Whether it is one.</returns>
    internal static bool TryParse(string text, out TimeSpan duration, out string problem)
    {
        duration = default;
        ReadOnlySpan<char> number = text.AsSpan().Trim();
        int unit = number.IndexOfAnyExcept(s_numberCharacters);
        ReadOnlySpan<char> suffix = unit < 0 ? "" : number[unit..];
        number = unit < 0 ? number : number[..unit];
        double milliseconds = suffix switch
        {
            "ms" => 1,
            "" or "s" => 1_000,
            "m" or "min" => 60_000,
            "h" => 3_600_000,
            _ => 0,
        };
        if (milliseconds == 0 || !double.TryParse(number, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double value))
        {
            problem = $"'{text}' is not a duration; write 30, 1.5s, 500ms, 5m or 2h";
            return false;
        }

        milliseconds *= value;
        if (milliseconds < s_least.TotalMilliseconds || milliseconds > s_most.TotalMilliseconds)
        {
            problem = $"'{text}' is out of range: from 1ms to {(int)s_most.TotalHours}h";
            return false;
        }

        duration = TimeSpan.FromMilliseconds(milliseconds);
        problem = "";
        return true;
    }
}
