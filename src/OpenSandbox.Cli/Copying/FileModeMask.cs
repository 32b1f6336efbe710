using System.Globalization;

namespace OpenSandbox.Cli.Copying;

/// <summary>The umask. It is read from the kernel's status file: umask(2) can only set it, for all threads at once.</summary>
internal static class FileModeMask
{
    /// <summary>Where the kernel does not say: nobody else may write.</summary>
    private const uint Customary = 0x12;

    private static readonly Lazy<uint> s_ofThisProcess = new(() => Parse(File.ReadLines("/proc/self/status")));

    /// <summary>Permission bits that new files must not have.</summary>
    internal static uint OfThisProcess => s_ofThisProcess.Value;

    /// <summary>Finds the mask in a status file.</summary>
    internal static uint Parse(IEnumerable<string> status)
    {
        const string key = "Umask:";
        foreach (string line in status)
        {
            if (line.StartsWith(key, StringComparison.Ordinal))
            {
                return ParseOctal(line.AsSpan(key.Length).Trim());
            }
        }

        return Customary;
    }

    private static uint ParseOctal(ReadOnlySpan<char> digits)
    {
        uint mask = 0;
        foreach (char digit in digits)
        {
            if (digit is < '0' or > '7')
            {
                throw new FormatException(string.Create(CultureInfo.InvariantCulture, $"/proc/self/status: umask '{digits}'"));
            }

            mask = (mask * 8) + (uint)(digit - '0');
        }

        return mask & 0x1FF;
    }
}
