namespace OpenSandbox.Cli.Reporting;

/// <summary>A sandbox that was imported, as <c>import --json</c> prints it.</summary>
/// <param name="Id">Its id here.</param>
/// <param name="Image">Name or digest of its image.</param>
internal sealed record ImportRow(string Id, string? Image);
