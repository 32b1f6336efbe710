namespace OpenSandbox.Host.Api;

/// <summary>A new token; it is told this once.</summary>
internal sealed record PreviewTokenReply(string PreviewAuthToken, string Scheme);
