using System.Collections.ObjectModel;
using System.Text.Json.Serialization;

namespace OpenSandbox.Vmm.State;

/// <summary>All that is needed to make a sandbox again: a <see cref="SandboxSpec"/> as it is kept, and the limits in force.</summary>
internal sealed record SandboxRecord
{
    private const int MaxEnvironmentEntries = 4_096;
    private const int MaxEnvironmentNameBytes = 4_096;
    private const int MaxEnvironmentValueBytes = 131_072;

    /// <summary>Name or digest of the image that it was made from; its disks name the image itself.</summary>
    public string? Image { get; init; }

    public int? MemoryMib { get; init; }

    /// <summary>What the VM of whatever is made of it lives as long as.</summary>
    [JsonRequired]
    public RecordedLifetime Lifetime { get; init; }

    [JsonRequired]
    public int PidsMax { get; init; }

    public int? CpuMaxPercent { get; init; }

    [JsonRequired]
    public bool Workspace { get; init; }

    public required IReadOnlyDictionary<string, string> EnvironmentVariables { get; init; }

    public string? Hostname { get; init; }

    public required EgressRecord Egress { get; init; }

    public required EgressLimitsRecord EgressLimits { get; init; }

    public int? MaxGuestScaleMib { get; init; }

    public required IReadOnlyDictionary<string, string> Metadata { get; init; }

    public required IReadOnlyDictionary<string, string> Labels { get; init; }

    /// <summary>CPU time on the host, percent of one CPU.</summary>
    public int? HostCpuMaxPercent { get; init; }

    /// <summary>What must confine its QEMU, on whichever host it is woken; nothing in manifests of before this was written down.</summary>
    public IsolationRecord? Isolation { get; init; }

    /// <summary>The limits in force.</summary>
    public required LimitsRecord Limits { get; init; }

    /// <summary>Writes down what a sandbox is made of.</summary>
    /// <param name="spec">What it was made of.</param>
    /// <param name="limits">The limits in force.</param>
    /// <param name="egress">The policy in force, where it has been changed since. Default: the specification's.</param>
    internal static SandboxRecord From(SandboxSpec spec, LimitsRecord limits, EgressPolicy? egress = null) => new()
    {
        Image = spec.Image,
        MemoryMib = spec.MemoryMib,
        Lifetime = spec.Lifetime == SandboxLifetime.Detached ? RecordedLifetime.Detached : RecordedLifetime.Attached,
        PidsMax = spec.PidsMax,
        CpuMaxPercent = spec.CpuMaxPercent,
        Workspace = spec.Workspace,
        EnvironmentVariables = Copy(spec.EnvironmentVariables),
        Hostname = spec.Hostname,
        Egress = EgressRecord.From(egress ?? spec.Egress),
        EgressLimits = EgressLimitsRecord.From(spec.EgressLimits),
        MaxGuestScaleMib = spec.MaxGuestScaleMib,
        Metadata = Copy(spec.Metadata),
        Labels = Copy(spec.Labels),
        HostCpuMaxPercent = spec.HostCpuMaxPercent,
        Isolation = IsolationRecord.From(spec.Isolation),
        Limits = limits,
    };

    /// <summary>The specification again. The limits in force are beside it, in <see cref="Limits"/>.</summary>
    internal SandboxSpec ToSpec() => new()
    {
        Image = Image,
        MemoryMib = MemoryMib,
        Lifetime = Lifetime == RecordedLifetime.Detached ? SandboxLifetime.Detached : SandboxLifetime.Attached,
        PidsMax = PidsMax,
        CpuMaxPercent = CpuMaxPercent,
        Workspace = Workspace,
        EnvironmentVariables = Copy(EnvironmentVariables),
        Hostname = Hostname,
        Egress = Egress.ToPolicy(),
        EgressLimits = EgressLimits.ToLimits(),
        MaxGuestScaleMib = MaxGuestScaleMib,
        Metadata = Copy(Metadata),
        Labels = Copy(Labels),
        HostCpuMaxPercent = HostCpuMaxPercent,
        Isolation = Isolation?.ToRequirement(),
    };

    internal void Validate(string field)
    {
        ManifestRules.Require(Enum.IsDefined(Lifetime), $"{field}.lifetime", $"{Lifetime} is none");
        if (Image is not null)
        {
            ManifestRules.Text(Image, 0, 1_024, $"{field}.image");
        }

        if (Hostname is not null)
        {
            ManifestRules.Text(Hostname, 1, 63, $"{field}.hostname");
        }

        ManifestRules.Range(MemoryMib ?? 1, 1, 1 << 24, $"{field}.memoryMib");
        ManifestRules.Range(PidsMax, 1, 1 << 22, $"{field}.pidsMax");
        ManifestRules.Range(CpuMaxPercent ?? 1, 1, 100 * 1_024, $"{field}.cpuMaxPercent");
        ManifestRules.Range(MaxGuestScaleMib ?? 1, 1, 1 << 24, $"{field}.maxGuestScaleMib");
        ManifestRules.Texts(
            EnvironmentVariables, MaxEnvironmentEntries, MaxEnvironmentNameBytes, MaxEnvironmentValueBytes, $"{field}.environmentVariables");
        ManifestRules.Texts(Metadata, 64, 128, 1_024, $"{field}.metadata");
        ManifestRules.Texts(Labels, SandboxLabels.MaxEntries, SandboxLabels.MaxNameBytes, SandboxLabels.MaxValueBytes, $"{field}.labels");
        Egress.Validate($"{field}.egress");
        EgressLimits.Validate($"{field}.egressLimits");
        ManifestRules.Range(HostCpuMaxPercent ?? 1, 1, 25_600, $"{field}.hostCpuMaxPercent");
        Isolation?.Validate($"{field}.isolation");
        Limits.Validate($"{field}.limits");
    }

    private static ReadOnlyDictionary<string, string> Copy(IReadOnlyDictionary<string, string> values) =>
        new(new Dictionary<string, string>(values, StringComparer.Ordinal));
}
