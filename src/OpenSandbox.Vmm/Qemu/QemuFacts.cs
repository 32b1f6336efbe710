namespace OpenSandbox.Vmm.Qemu;

/// <summary>What a QEMU binary said about itself, kept because asking costs a process start.</summary>
internal sealed record QemuFacts
{
    /// <summary>The binary's path.</summary>
    public required string Path { get; init; }

    /// <summary>The binary's length, bytes; another one makes the facts void.</summary>
    public required long Length { get; init; }

    /// <summary>The binary's modification time, ticks; another one makes the facts void.</summary>
    public required long ModifiedTicks { get; init; }

    /// <summary>First line of <c>--version</c>, without "QEMU emulator version".</summary>
    public required string Version { get; init; }

    /// <summary>Major version.</summary>
    public required int Major { get; init; }

    /// <summary>Minor version.</summary>
    public required int Minor { get; init; }

    /// <summary>The versioned machine type that belongs to it.</summary>
    internal string MachineType => $"pc-q35-{Major}.{Minor}";
}
