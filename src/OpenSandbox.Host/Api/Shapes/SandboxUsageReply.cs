namespace OpenSandbox.Host.Api;

/// <summary>What a sandbox has used.</summary>
internal sealed record SandboxUsageReply
{
    public required string SandboxId { get; init; }

    public string? Alias { get; init; }

    public required DateTimeOffset From { get; init; }

    public required DateTimeOffset To { get; init; }

    public required SandboxUsageTotalsReply Totals { get; init; }

    public required IReadOnlyList<SandboxUsagePointReply> Points { get; init; }
}
