namespace OpenSandbox.Vmm.Processes;

/// <summary>How a process ended: exactly one of the two is set, or none if it was not a child of this process, which is then not told.</summary>
internal readonly record struct HostProcessExit(int? ExitCode, int? Signal)
{
    public override string ToString() => (ExitCode, Signal) switch
    {
        (_, int signal) => $"signal {signal}",
        (int code, _) => $"exit code {code}",
        _ => "an exit code that is not known",
    };
}
