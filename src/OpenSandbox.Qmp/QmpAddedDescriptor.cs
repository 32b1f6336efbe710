namespace OpenSandbox.Qmp;

/// <summary>What add-fd made of a descriptor.</summary>
/// <param name="FdSetId">The set: QEMU opens it as <c>/dev/fdset/ID</c>.</param>
/// <param name="Fd">The descriptor's number inside QEMU.</param>
public readonly record struct QmpAddedDescriptor(long FdSetId, long Fd);
