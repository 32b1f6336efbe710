using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Reporting;

/// <summary>One line of <c>doctor</c>.</summary>
/// <param name="Name">A stable name.</param>
/// <param name="Status">Whether it holds.</param>
/// <param name="Detail">What was found.</param>
/// <param name="Remedy">What to do about it.</param>
internal sealed record DoctorFinding(string Name, HostPrerequisiteStatus Status, string Detail, string? Remedy);
