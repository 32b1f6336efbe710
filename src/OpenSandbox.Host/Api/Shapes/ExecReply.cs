namespace OpenSandbox.Host.Api;

/// <summary>A command that has ended.</summary>
internal sealed record ExecReply(int ExitCode, string Stdout, string Stderr, bool? Truncated = null);
