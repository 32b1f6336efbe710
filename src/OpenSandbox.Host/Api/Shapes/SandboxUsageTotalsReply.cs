namespace OpenSandbox.Host.Api;

/// <summary>What a sandbox has used in all of the hours.</summary>
internal sealed record SandboxUsageTotalsReply(
    double MemoryAllocatedGbSeconds, double MemoryUsedGbSeconds, double UptimeSeconds, int MemoryAllocatedPeakMb, double MemoryUsedPeakMb);
