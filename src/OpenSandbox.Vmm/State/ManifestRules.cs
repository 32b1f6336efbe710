using System.Text;

namespace OpenSandbox.Vmm.State;

/// <summary>Checks of what is written to and read from manifests.</summary>
internal static class ManifestRules
{
    internal static void Require(bool holds, string field, string rule)
    {
        if (!holds)
        {
            throw new InvalidDataException($"{field}: {rule}");
        }
    }

    internal static void Range(long value, long low, long high, string field) =>
        Require(value >= low && value <= high, field, $"{value} is not from {low} to {high}");

    /// <summary>Well-formed text of limited length. What is not well-formed Unicode would be read back as something else.</summary>
    internal static void Text(string value, int fewestBytes, int mostBytes, string field)
    {
        // A null among the values of a dictionary passes the reader.
        Require(value is not null, field, "it is null");
        Require(value!.Length <= mostBytes, field, $"it has more than {mostBytes} bytes");
        int bytes;
        try
        {
            bytes = s_strict.GetByteCount(value);
        }
        catch (EncoderFallbackException wrong)
        {
            throw new InvalidDataException($"{field}: it is not well-formed Unicode", wrong);
        }

        Require(bytes >= fewestBytes && bytes <= mostBytes, field, $"it has {bytes} bytes, not {fewestBytes} to {mostBytes}");
    }

    internal static void Utc(DateTimeOffset value, string field) => Require(value.Offset == TimeSpan.Zero, field, "it is not in UTC");

    internal static void Texts(IReadOnlyDictionary<string, string> values, int mostEntries, int mostName, int mostValue, string field)
    {
        Range(values.Count, 0, mostEntries, $"{field} (entries)");
        foreach ((string name, string value) in values)
        {
            Text(name, 1, mostName, $"{field} (a name)");
            Text(value, 0, mostValue, $"{field}['{name}']");
        }
    }

    private static readonly UTF8Encoding s_strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);
}
