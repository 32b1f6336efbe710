namespace OpenSandbox.Host.Api;

/// <summary>What sandboxes without a tag have used.</summary>
internal sealed record UsageUntaggedReply(double MemoryGbSeconds, double DiskOverageGbSeconds, int SandboxCount);
