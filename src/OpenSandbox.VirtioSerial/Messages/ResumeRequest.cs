namespace OpenSandbox.VirtioSerial;

/// <summary>What makes a restored golden snapshot one particular sandbox.</summary>
public sealed record ResumeRequest
{
    /// <summary>The host's wall clock when it wrote this, nanoseconds since the Unix epoch.</summary>
    public required long WallClockNanoseconds { get; init; }

    /// <summary>Fresh random bytes from the host for the kernel's generator; 32 to 256.</summary>
    public required byte[] EntropySeed { get; init; }

    /// <summary>Host name to set; also becomes the base of a new machine id.</summary>
    public required string Hostname { get; init; }

    /// <summary>Environment of every command, below the command's own.</summary>
    public Dictionary<string, string>? Environment { get; init; }

    /// <summary>Block device of the root file system, without <c>/dev/</c> (<c>vda</c>); absent: stay on the initramfs.</summary>
    public string? RootDevice { get; init; }

    /// <summary>Block device of the workspace, mounted at <c>/workspace</c>; absent: none.</summary>
    public string? WorkspaceDevice { get; init; }

    /// <summary>Limits of all user processes together.</summary>
    public GuestLimits? Limits { get; init; }

    /// <summary>Bytes of hot-plugged memory to wait for before the result; 0 or absent: none.</summary>
    public long? PluggedMemoryBytes { get; init; }

    /// <summary>What the metadata service tells the sandbox's processes; absent: nothing.</summary>
    public SandboxDescription? Description { get; init; }

    /// <summary>
    /// Whether a guest that was resumed before gets a new <c>/etc/machine-id</c>: a copy of another sandbox needs one. Only where
    /// <see cref="AgentHello.Quiesced"/>; the first resume always makes one. Default: no.
    /// </summary>
    public bool RenewIdentity { get; init; }
}
