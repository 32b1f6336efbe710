namespace OpenSandbox.Cli.Reporting;

/// <summary>An archive that was written, as <c>export --json</c> prints it.</summary>
/// <param name="Id">The sandbox.</param>
/// <param name="Bytes">Length of the archive.</param>
/// <param name="Sha256">The digest that it ends with.</param>
/// <param name="HasMemory">Whether memory is in it.</param>
internal sealed record ExportRow(string Id, long Bytes, string Sha256, bool HasMemory);
