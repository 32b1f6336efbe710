using System.Text;

namespace OpenSandbox.Vmm.State;

/// <summary>Bounds of <see cref="SandboxSpec.Labels"/>.</summary>
internal static class SandboxLabels
{
    internal const int MaxEntries = 64;
    internal const int MaxNameBytes = 128;
    internal const int MaxValueBytes = 1_024;

    /// <exception cref="ArgumentException">There are too many, or one is too long or not well-formed.</exception>
    internal static void Validate(IReadOnlyDictionary<string, string> labels)
    {
        ArgumentNullException.ThrowIfNull(labels);
        if (labels.Count > MaxEntries)
        {
            throw new ArgumentException($"{labels.Count} labels: at most {MaxEntries}", nameof(labels));
        }

        foreach ((string name, string value) in labels)
        {
            if (value is null || Encoding.UTF8.GetByteCount(name) is 0 or > MaxNameBytes || Encoding.UTF8.GetByteCount(value) > MaxValueBytes)
            {
                throw new ArgumentException(
                    $"label '{name}': names have 1 to {MaxNameBytes} bytes, values up to {MaxValueBytes}", nameof(labels));
            }
        }
    }
}
