namespace OpenSandbox.Host.Api;

/// <summary><c>POST /api/sandboxes</c>. Everything may be left out.</summary>
internal sealed record CreateSandboxRequest
{
    public string? TemplateID { get; init; }

    public string? Alias { get; init; }

    public Dictionary<string, string>? Metadata { get; init; }

    /// <summary>Idle timeout, seconds; 0: never; left out: the server's default.</summary>
    public int? Timeout { get; init; }

    public int? CpuCount { get; init; }

    public int? MemoryMB { get; init; }

    public int? DiskMB { get; init; }

    public Dictionary<string, string>? Envs { get; init; }

    public bool? NetworkEnabled { get; init; }

    public string[]? EgressAllowlist { get; init; }
}

/// <summary>A sandbox as clients see it; what a route does not tell is left out.</summary>
internal sealed record SandboxReply
{
    public required string SandboxID { get; init; }

    public required string Status { get; init; }

    public string? TemplateID { get; init; }

    public string? Template { get; init; }

    public string? Alias { get; init; }

    public string? ClientID { get; init; }

    public string? Region { get; init; }

    public string? WorkerID { get; init; }

    public DateTimeOffset? StartedAt { get; init; }

    public DateTimeOffset? EndAt { get; init; }

    public IReadOnlyDictionary<string, string>? Metadata { get; init; }

    public int? CpuCount { get; init; }

    public int? MemoryMB { get; init; }

    public string? ConnectURL { get; init; }

    public string? Token { get; init; }

    public string? SandboxDomain { get; init; }

    public string? HibernationKey { get; init; }

    public long? SizeBytes { get; init; }

    public IReadOnlyDictionary<string, string>? Tags { get; init; }

    public DateTimeOffset? TagsLastUpdatedAt { get; init; }
}

/// <summary><c>{"timeout":N}</c>.</summary>
internal sealed record TimeoutRequest
{
    public int? Timeout { get; init; }
}

/// <summary><c>{"status":"…"}</c>.</summary>
/// <param name="Status">The word.</param>
/// <param name="Reason">Why, where it is not well.</param>
internal sealed record StatusReply(string Status, string? Reason = null);
