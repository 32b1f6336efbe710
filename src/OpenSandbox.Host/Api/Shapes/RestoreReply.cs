namespace OpenSandbox.Host.Api;

/// <summary>A sandbox is taken back to a checkpoint.</summary>
internal sealed record RestoreReply(string SandboxId, string CheckpointId, string Status);
