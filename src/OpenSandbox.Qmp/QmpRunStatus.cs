namespace OpenSandbox.Qmp;

/// <summary>What query-status reports.</summary>
/// <param name="Status">QEMU's run state: <c>running</c>, <c>paused</c>, <c>inmigrate</c>, <c>prelaunch</c>, <c>shutdown</c>, <c>io-error</c>, ... At most 128 characters.</param>
/// <param name="Running">Whether the virtual CPUs run.</param>
public readonly record struct QmpRunStatus(string Status, bool Running);
