namespace OpenSandbox.Vmm;

/// <summary>One piece of a command's output.</summary>
/// <param name="IsError">Standard error rather than standard output.</param>
/// <param name="Count">Bytes; 0 when there is no more output.</param>
public readonly record struct SandboxOutput(bool IsError, int Count);
