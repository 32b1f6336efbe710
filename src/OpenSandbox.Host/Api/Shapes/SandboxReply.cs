namespace OpenSandbox.Host.Api;

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

    /// <summary>Told once, when the sandbox is made.</summary>
    public string? PreviewAuthToken { get; init; }

    public string? FromCheckpointId { get; init; }

    /// <summary>Why a patch of its checkpoint failed.</summary>
    public string? PatchError { get; init; }

    public string? HibernationKey { get; init; }

    public long? SizeBytes { get; init; }

    public IReadOnlyDictionary<string, string>? Tags { get; init; }

    public DateTimeOffset? TagsLastUpdatedAt { get; init; }
}
