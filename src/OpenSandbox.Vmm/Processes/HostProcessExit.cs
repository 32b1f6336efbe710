namespace OpenSandbox.Vmm.Processes;

/// <summary>How a child process ended: exactly one of the two is set.</summary>
internal readonly record struct HostProcessExit(int? ExitCode, int? Signal)
{
    public override string ToString() => Signal is int signal ? $"signal {signal}" : $"exit code {ExitCode}";
}
