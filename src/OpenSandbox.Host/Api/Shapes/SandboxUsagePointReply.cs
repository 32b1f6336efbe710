namespace OpenSandbox.Host.Api;

/// <summary>What a sandbox has used in one hour.</summary>
internal sealed record SandboxUsagePointReply(
    DateTimeOffset Ts,
    double MemoryAllocatedGbSeconds,
    double MemoryUsedGbSeconds,
    double UptimeSeconds,
    int AllocatedMemoryMb,
    double UsedMemoryMbAvg,
    double UsedMemoryMbPeak);
