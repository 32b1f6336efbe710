namespace OpenSandbox.Vmm;

/// <summary>Whether one control is in force.</summary>
/// <param name="Control">Which.</param>
/// <param name="InForce">Whether it is.</param>
/// <param name="Detail">How, or why not; for people.</param>
public sealed record IsolationControlState(IsolationControl Control, bool InForce, string Detail);
