namespace OpenSandbox.Host.Api;

/// <summary>What was used, over a span of time.</summary>
internal sealed record UsageTotalsReply(double MemoryGbSeconds, double DiskOverageGbSeconds = 0);
