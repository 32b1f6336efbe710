using System.Globalization;

namespace OpenSandbox.Cli.Parsing;

/// <summary>Memory as people write it: <c>1024</c> (MiB), <c>512m</c>, <c>2g</c>, <c>2GiB</c>.</summary>
internal static class MemorySize
{
    /// <summary>What the guest's memory must be a multiple of, MiB.</summary>
    private const int Step = 128;
    private const int Least = 256;

    /// <summary>Reads a size.</summary>
    /// <param name="text">What the user wrote.</param>
    /// <param name="mostMib">The largest that is allowed.</param>
    /// <param name="mib">The size in MiB.</param>
    /// <param name="problem">What is wrong with it.</param>
    /// <returns>Whether it is a size that a sandbox can have.</returns>
    internal static bool TryParse(string text, int mostMib, out int mib, out string problem)
    {
        mib = 0;
        ReadOnlySpan<char> digits = text.AsSpan().Trim();
        int unit = digits.IndexOfAnyExceptInRange('0', '9');
        ReadOnlySpan<char> suffix = unit < 0 ? "" : digits[unit..];
        digits = unit < 0 ? digits : digits[..unit];
        int factor = suffix switch
        {
            "" or "m" or "M" or "mb" or "MB" or "mib" or "MiB" => 1,
            "g" or "G" or "gb" or "GB" or "gib" or "GiB" => 1_024,
            _ => 0,
        };
        if (factor == 0 || !int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out int number))
        {
            problem = $"'{text}' is not a memory size; write 1024, 512m or 2g";
            return false;
        }

        long size = (long)number * factor;
        if (size < Least || size > mostMib)
        {
            problem = $"'{text}' is {size} MiB; a sandbox has from {Least} to {mostMib} MiB";
            return false;
        }

        if (size % Step != 0)
        {
            problem = $"'{text}' is {size} MiB; it must be a multiple of {Step}, such as {(size / Step * Step) + Step}";
            return false;
        }

        mib = (int)size;
        problem = "";
        return true;
    }
}
