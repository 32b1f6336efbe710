namespace OpenSandbox.Host.Api;

/// <summary>What a sandbox may reach; an empty list: every public address.</summary>
internal sealed record AllowedHostsReply(
    string SandboxID, IReadOnlyList<string> EgressAllowlist, IReadOnlyDictionary<string, string[]> PerSecretAllowedHosts);
