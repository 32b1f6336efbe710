namespace OpenSandbox.Vmm;

/// <summary>Where a process's standard input comes from.</summary>
public enum ProcessInput
{
    /// <summary>From <see cref="SandboxProcess.WriteAsync"/>, until <see cref="SandboxProcess.CompleteInputAsync"/>.</summary>
    Open,

    /// <summary><c>/dev/null</c>.</summary>
    Null,
}
