namespace OpenSandbox.Host.Api;

/// <summary>A URL that carries its own permission.</summary>
internal sealed record SignedUrlReply(string Url, DateTimeOffset ExpiresAt);
