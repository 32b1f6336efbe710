namespace OpenSandbox.Cli.Reporting;

/// <summary>An image as <c>image ls --json</c> prints it.</summary>
internal sealed record ImageRow(string Name, string Digest, long DiskBytes, long StoredBytes, DateTimeOffset CreatedAt);
