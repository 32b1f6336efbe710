namespace OpenSandbox.Host.Api;

/// <summary>What all sandboxes have used.</summary>
internal sealed record UsageReply
{
    public required DateTimeOffset From { get; init; }

    public required DateTimeOffset To { get; init; }

    public required string GroupBy { get; init; }

    public required UsageTotalsReply Total { get; init; }

    public UsageUntaggedReply? Untagged { get; init; }

    public required IReadOnlyList<UsageItemReply> Items { get; init; }

    public string? NextCursor { get; init; }
}
