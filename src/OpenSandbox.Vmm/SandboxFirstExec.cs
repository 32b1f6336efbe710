namespace OpenSandbox.Vmm;

/// <summary>A new sandbox and what its first command left.</summary>
/// <param name="Sandbox">The sandbox; dispose it.</param>
/// <param name="Result">The command's result.</param>
public sealed record SandboxFirstExec(Sandbox Sandbox, ExecResult Result);
