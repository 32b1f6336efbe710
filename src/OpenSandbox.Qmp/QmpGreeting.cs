namespace OpenSandbox.Qmp;

/// <summary>The first line of a QMP connection.</summary>
/// <param name="Version">QEMU's version.</param>
/// <param name="Capabilities">Optional parts of the protocol that QEMU offers, such as <c>oob</c>; none of them is enabled by this client.</param>
public sealed record QmpGreeting(QmpVersion Version, IReadOnlyList<string> Capabilities);
