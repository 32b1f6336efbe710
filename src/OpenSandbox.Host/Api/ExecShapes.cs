namespace OpenSandbox.Host.Api;

/// <summary>A command: <c>exec/run</c>, <c>exec/run-async</c> and <c>exec</c>.</summary>
internal sealed record ExecRequest
{
    public string? Cmd { get; init; }

    public string[]? Args { get; init; }

    public Dictionary<string, string>? Envs { get; init; }

    public string? Cwd { get; init; }

    /// <summary>Seconds; 0: none.</summary>
    public double? Timeout { get; init; }

    /// <summary>How long a session goes on when its last client has left, seconds.</summary>
    public int? MaxRunAfterDisconnect { get; init; }
}

/// <summary>A command that has ended.</summary>
internal sealed record ExecReply(int ExitCode, string Stdout, string Stderr);

/// <summary>A command that goes on.</summary>
internal sealed record ExecHandleReply(string ExecId, bool Running, DateTimeOffset StartedAt);

/// <summary>How a command that was started with <c>run-async</c> stands.</summary>
internal sealed record ExecResultReply
{
    public required bool Running { get; init; }

    public int? ExitCode { get; init; }

    public required string Stdout { get; init; }

    public required string Stderr { get; init; }

    public bool? Truncated { get; init; }

    public string? Error { get; init; }

    public long? CommandMs { get; init; }
}
