using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Control;

/// <summary>A path in the guest, as the guest describes it: not to be relied on for anything outside it.</summary>
internal sealed record ControlFileEntry
{
    /// <summary>Absolute path.</summary>
    public required string Path { get; init; }

    /// <summary>What it is.</summary>
    public required SandboxFileKind Kind { get; init; }

    /// <summary>Bytes.</summary>
    public long Size { get; init; }

    /// <summary>Permission bits.</summary>
    public int Mode { get; init; }

    /// <summary>Where a symbolic link points.</summary>
    public string? Target { get; init; }
}
