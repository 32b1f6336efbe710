namespace OpenSandbox.Vmm;

/// <summary>What <see cref="SandboxProcess.ReadAsync"/> read.</summary>
public enum SandboxOutputKind
{
    /// <summary>No more output.</summary>
    End,

    /// <summary>Standard output, or the output of a terminal.</summary>
    StandardOutput,

    /// <summary>Standard error.</summary>
    StandardError,

    /// <summary>Output was overwritten before this reader got it. Only lossy readers meet this.</summary>
    Gap,
}
