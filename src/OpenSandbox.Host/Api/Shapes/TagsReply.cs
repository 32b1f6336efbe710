namespace OpenSandbox.Host.Api;

/// <summary>A sandbox's tags.</summary>
internal sealed record TagsReply(IReadOnlyDictionary<string, string> Tags, DateTimeOffset? TagsLastUpdatedAt);
