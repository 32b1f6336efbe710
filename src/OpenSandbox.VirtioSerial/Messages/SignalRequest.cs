namespace OpenSandbox.VirtioSerial;

/// <summary>Payload of a Signal frame.</summary>
public sealed record SignalRequest
{
    /// <summary>Signal number, 1 to 64.</summary>
    public required int Signal { get; init; }

    /// <summary>Send SIGKILL to every process of the command's cgroup instead of the signal to its process group.</summary>
    public bool WholeCgroup { get; init; }
}
