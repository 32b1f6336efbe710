using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Keeping;

/// <summary>What a keeper in the background is to make. It comes over a pipe: command lines can be seen by other users.</summary>
internal sealed record KeeperRequest
{
    /// <summary>Absolute state directory.</summary>
    public required string StateDirectory { get; init; }

    /// <summary>Absolute assets directory.</summary>
    public required string AssetsDirectory { get; init; }

    /// <summary>Absolute runtime directory.</summary>
    public required string RuntimeDirectory { get; init; }

    /// <summary>The accelerator to use.</summary>
    public AcceleratorChoice Accelerator { get; init; }

    /// <summary>The weakest isolation that will do; nothing: the best that can be had.</summary>
    public IsolationLevel? Isolation { get; init; }

    /// <summary>The sandbox to take over; nothing: a new one is made.</summary>
    public string? Open { get; init; }

    /// <summary>Whether one that does not run is to be woken.</summary>
    public bool Wake { get; init; }

    /// <summary>The checkpoint that it is to be taken back to.</summary>
    public string? Restore { get; init; }

    /// <summary>Whether to refuse rather than to boot it from its disks.</summary>
    public bool RequireMemory { get; init; }

    /// <summary>Whether to boot it from its disks.</summary>
    public bool FromDisk { get; init; }

    /// <summary>The sandbox's image.</summary>
    public string? Image { get; init; }

    /// <summary>The sandbox's memory, MiB.</summary>
    public int? MemoryMib { get; init; }

    /// <summary>The sandbox's largest number of processes.</summary>
    public int PidsMax { get; init; }

    /// <summary>Whether everything is logged.</summary>
    public bool Verbose { get; init; }

    /// <summary>The options of the host.</summary>
    internal SandboxHostOptions ToHostOptions() => new()
    {
        StateDirectory = StateDirectory,
        AssetsDirectory = AssetsDirectory,
        RuntimeDirectory = RuntimeDirectory,
        Accelerator = Accelerator,
        Isolation = Isolation is IsolationLevel level ? level : IsolationRequirement.BestEffort,
    };

    /// <summary>The sandbox that is to be made.</summary>
    internal SandboxSpec ToSpec() => new() { Image = Image, MemoryMib = MemoryMib, PidsMax = PidsMax, Lifetime = SandboxLifetime.Detached };

    /// <summary>How a sandbox that does not run is to be woken.</summary>
    internal WakeOptions ToWakeOptions() => new() { RequireMemory = RequireMemory, FromDisk = FromDisk };

    /// <summary>What a keeper is told that takes over a sandbox.</summary>
    internal static KeeperRequest Opening(SandboxHostOptions host, string id) => From(host, new SandboxSpec(), verbose: false) with { Open = id };

    /// <summary>What a keeper is told, so that it makes the same sandbox wherever it runs.</summary>
    internal static KeeperRequest From(SandboxHostOptions host, SandboxSpec spec, bool verbose) => new()
    {
        StateDirectory = Path.GetFullPath(host.StateDirectory),
        AssetsDirectory = Path.GetFullPath(host.AssetsDirectory),
        RuntimeDirectory = Path.GetFullPath(host.RuntimeDirectory),
        Accelerator = host.Accelerator,
        Isolation = host.Isolation.Level,
        Image = spec.Image,
        MemoryMib = spec.MemoryMib,
        PidsMax = spec.PidsMax,
        Verbose = verbose,
    };
}
