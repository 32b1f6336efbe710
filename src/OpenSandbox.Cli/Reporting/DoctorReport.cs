namespace OpenSandbox.Cli.Reporting;

/// <summary>What <c>doctor --json</c> prints.</summary>
/// <param name="Ready">Whether sandboxes can be made.</param>
/// <param name="Findings">Everything that was looked at.</param>
internal sealed record DoctorReport(bool Ready, DoctorFinding[] Findings);
