namespace OpenSandbox.Host.Api;

/// <summary>A script that sandboxes of a checkpoint run.</summary>
internal sealed record PatchReply(
    string Id, string CheckpointId, int Sequence, string Script, string Description, string Strategy, DateTimeOffset CreatedAt);
