namespace OpenSandbox.Host.Api;

/// <summary>What a sandbox, or all sandboxes with one value of a tag, have used.</summary>
internal sealed record UsageItemReply
{
    public string? SandboxId { get; init; }

    public string? Alias { get; init; }

    public string? Status { get; init; }

    public IReadOnlyDictionary<string, string>? Tags { get; init; }

    public DateTimeOffset? TagsLastUpdatedAt { get; init; }

    public string? TagKey { get; init; }

    public string? TagValue { get; init; }

    public double MemoryGbSeconds { get; init; }

    public double DiskOverageGbSeconds { get; init; }

    public int? SandboxCount { get; init; }
}
