namespace OpenSandbox.Vmm;

/// <summary>One thing that the host must have, or that is worth knowing about it.</summary>
/// <param name="Name">A stable name, such as <c>qemu</c>.</param>
/// <param name="Status">Whether it holds.</param>
/// <param name="Detail">What was found, for people.</param>
/// <param name="Remedy">What to do, mostly a command; <see langword="null"/> where there is nothing to do.</param>
public sealed record HostPrerequisite(string Name, HostPrerequisiteStatus Status, string Detail, string? Remedy = null);
