namespace OpenSandbox.Vmm;

/// <summary>One process as <see cref="SandboxProcesses.ListAsync"/> saw it.</summary>
public sealed record SandboxProcessInfo
{
    /// <summary>8 hexadecimal digits, unique in the sandbox.</summary>
    public required string Id { get; init; }

    /// <summary>Process id in the guest.</summary>
    public required int Pid { get; init; }

    /// <summary>Program and arguments; cut where they are long.</summary>
    public required IReadOnlyList<string> Command { get; init; }

    /// <summary>Its user in the guest.</summary>
    public required string User { get; init; }

    /// <summary>When it was started, by the guest's clock.</summary>
    public required DateTimeOffset StartedAt { get; init; }

    /// <summary>Whether it still runs.</summary>
    public bool IsRunning => Exit is null;

    /// <summary>How it ended; <see langword="null"/> while it runs.</summary>
    public SandboxProcessExit? Exit { get; init; }

    /// <summary>Whether it was started by <see cref="Sandbox.StartAsync(IReadOnlyList{string}, StartOptions?, CancellationToken)"/> and so
    /// can be attached to; otherwise it is a command of <see cref="Sandbox.ExecAsync(IReadOnlyList{string}, ExecOptions?, CancellationToken)"/>.</summary>
    public bool IsManaged { get; init; }

    /// <summary>Whether it goes on without the handle that started it.</summary>
    public bool IsDetached { get; init; }

    /// <summary>Whether it runs on a terminal.</summary>
    public bool HasTerminal { get; init; }

    /// <summary>CPU time of it and its descendants so far, where the guest knows it.</summary>
    public TimeSpan? CpuTime { get; init; }

    /// <summary>Memory of it and its descendants now, bytes, where the guest knows it; <see langword="null"/> once it has ended.</summary>
    public long? MemoryBytes { get; init; }

    /// <summary>Number of the oldest byte of output that is kept.</summary>
    public long OutputStart { get; init; }

    /// <summary>Bytes of output that it has made so far.</summary>
    public long OutputEnd { get; init; }
}
