using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Control;

/// <summary>A checkpoint, as <c>checkpoint ls --json</c> prints it.</summary>
internal sealed record CheckpointRow
{
    /// <summary>Its id.</summary>
    public required string Id { get; init; }

    /// <summary>The sandbox that it was made of, which may be gone.</summary>
    public required string SandboxId { get; init; }

    /// <summary>What it is called.</summary>
    public string? Name { get; init; }

    /// <summary>What it holds.</summary>
    public CheckpointKind Kind { get; init; }

    /// <summary>When it was made.</summary>
    public DateTimeOffset CreatedAt { get; init; }

    /// <summary>Bytes that memory and devices take on disk.</summary>
    public long MemoryBytes { get; init; }

    /// <summary>For how long the sandbox was stopped, milliseconds, where it has just been made.</summary>
    public double? StoppedMilliseconds { get; init; }

    internal static CheckpointRow From(SandboxCheckpoint checkpoint) => new()
    {
        Id = checkpoint.Id,
        SandboxId = checkpoint.SandboxId,
        Name = checkpoint.Name,
        Kind = checkpoint.Kind,
        CreatedAt = checkpoint.CreatedAt,
        MemoryBytes = checkpoint.MemoryBytes,
    };
}
