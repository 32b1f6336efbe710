using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Control;

/// <summary>A kept sandbox, as <c>ls --json</c> prints it.</summary>
internal sealed record KeptSandboxInfo
{
    /// <summary>Its id.</summary>
    public required string Id { get; init; }

    /// <summary>Where it is in its life.</summary>
    public required SandboxState State { get; init; }

    /// <summary>Name or digest of its image.</summary>
    public string? Image { get; init; }

    /// <summary>When it was ready.</summary>
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>Its memory, MiB.</summary>
    public int MemoryMib { get; init; }

    /// <summary>Its virtual CPUs, where a process keeps it.</summary>
    public int? Cpus { get; init; }

    /// <summary>The process that keeps it; nothing if none does.</summary>
    public int? Pid { get; init; }

    /// <summary>Whether that process runs in the background, or there is none.</summary>
    public bool Detached { get; init; }

    /// <summary>What stands between its QEMU and the host; nothing where its keeper does not say.</summary>
    public KeptIsolation? Isolation { get; init; }
}
