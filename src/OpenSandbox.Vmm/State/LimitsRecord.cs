using System.Text.Json.Serialization;

namespace OpenSandbox.Vmm.State;

/// <summary>The limits that are in force in a sandbox, which a resize may have changed since it was made.</summary>
internal sealed record LimitsRecord
{
    /// <summary>RAM, MiB.</summary>
    [JsonRequired]
    public int MemoryMib { get; init; }

    /// <summary>CPU limit, percent of one CPU.</summary>
    [JsonRequired]
    public int CpuPercent { get; init; }

    /// <summary>Largest number of processes and threads.</summary>
    [JsonRequired]
    public int PidsMax { get; init; }

    internal static LimitsRecord From(SandboxLimits limits) =>
        new() { MemoryMib = limits.MemoryMib, CpuPercent = limits.CpuPercent, PidsMax = limits.PidsMax };

    /// <summary>The limits of a machine that has them again.</summary>
    /// <param name="guestMemoryBytes">RAM that its kernel reports.</param>
    internal SandboxLimits ToLimits(long guestMemoryBytes) => new()
    {
        MemoryMib = MemoryMib,
        MemoryMaxBytes = Math.Min(SandboxResizer.ProcessBytes((long)MemoryMib << 20), SandboxResizer.ProcessBytes(guestMemoryBytes)),
        CpuPercent = CpuPercent,
        PidsMax = PidsMax,
        GuestMemoryBytes = guestMemoryBytes,
    };

    internal void Validate(string field)
    {
        ManifestRules.Range(MemoryMib, 1, 1 << 24, $"{field}.memoryMib");
        ManifestRules.Range(CpuPercent, 1, 100 * 1_024, $"{field}.cpuPercent");
        ManifestRules.Range(PidsMax, 1, 1 << 22, $"{field}.pidsMax");
    }
}
