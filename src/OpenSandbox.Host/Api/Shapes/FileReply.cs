namespace OpenSandbox.Host.Api;

/// <summary>A file in a list.</summary>
internal sealed record FileReply(string Name, bool IsDir, long? Size, string Path);
