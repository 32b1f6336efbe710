namespace OpenSandbox.Host.Api;

/// <summary>A tag, over all sandboxes.</summary>
internal sealed record TagKeyReply(string Key, int SandboxCount, int ValueCount);
