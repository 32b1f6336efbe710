namespace OpenSandbox.VirtioSerial;

/// <summary>setrlimit(2) of one process; its children inherit them. What is absent stays as it is for every command.</summary>
public sealed record ProcessLimitsRequest
{
    /// <summary><c>RLIMIT_CPU</c>, seconds, at least 1: SIGXCPU then, and SIGKILL a second later.</summary>
    public long? CpuSeconds { get; init; }

    /// <summary><c>RLIMIT_AS</c>, bytes, at least 1.</summary>
    public long? AddressSpaceBytes { get; init; }

    /// <summary><c>RLIMIT_FSIZE</c>, bytes, at least 0.</summary>
    public long? FileSizeBytes { get; init; }

    /// <summary><c>RLIMIT_NOFILE</c>, 3 to 1,048,576.</summary>
    public long? OpenFiles { get; init; }
}
