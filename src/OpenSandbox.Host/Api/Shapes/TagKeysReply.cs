namespace OpenSandbox.Host.Api;

/// <summary>Which tags there are.</summary>
internal sealed record TagKeysReply(IReadOnlyList<TagKeyReply> Keys);
