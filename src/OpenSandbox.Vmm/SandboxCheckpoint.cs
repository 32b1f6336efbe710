using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm;

/// <summary>A state of a sandbox that was saved while it ran. It outlives the sandbox; delete it with <see cref="SandboxHost.DeleteCheckpointAsync"/>.</summary>
public sealed record SandboxCheckpoint
{
    internal SandboxCheckpoint(SnapshotManifest manifest)
    {
        Id = manifest.Id;
        SandboxId = manifest.SandboxId;
        Name = manifest.Name;
        Kind = manifest.Memory is null ? CheckpointKind.DiskOnly : CheckpointKind.Full;
        CreatedAt = manifest.CreatedAt;
        Retained = manifest.Retained;
        MemoryPages = (manifest.Memory?.RamPages + manifest.Memory?.PluggedPages) ?? 0;
        MemoryBytes = (manifest.Memory?.Memory.Bytes + manifest.Memory?.DeviceState.Bytes) ?? 0;
        Labels = manifest.Sandbox.Labels;
    }

    /// <summary><c>sn-</c> and 16 hexadecimal digits.</summary>
    public string Id { get; }

    /// <summary>The sandbox that it was made of.</summary>
    public string SandboxId { get; }

    /// <summary>What its owner calls it.</summary>
    public string? Name { get; }

    /// <summary>What it holds.</summary>
    public CheckpointKind Kind { get; }

    /// <summary>When it was made, UTC.</summary>
    public DateTimeOffset CreatedAt { get; }

    /// <summary>Whether retention leaves it alone.</summary>
    public bool Retained { get; }

    /// <summary>Pages of 4 KiB in which the memory differs from the golden snapshot.</summary>
    public long MemoryPages { get; }

    /// <summary>Bytes that memory and devices take on disk, compressed.</summary>
    public long MemoryBytes { get; }

    /// <summary>The labels that the sandbox had.</summary>
    public IReadOnlyDictionary<string, string> Labels { get; }

    /// <summary>
    /// For how long the sandbox's machine was stopped, from the command to stop it until it ran again; only for the caller that made it, zero
    /// otherwise.
    /// </summary>
    public TimeSpan Stopped { get; init; }

    /// <summary>For how long its processes stood still, as they are frozen before and thawed after that; as <see cref="Stopped"/>.</summary>
    internal TimeSpan StoodStill { get; init; }
}
