namespace OpenSandbox.Host.Api;

/// <summary>A command that goes on.</summary>
internal sealed record ExecHandleReply(string ExecId, bool Running, DateTimeOffset StartedAt);
