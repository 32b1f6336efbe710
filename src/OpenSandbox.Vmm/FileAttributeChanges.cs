namespace OpenSandbox.Vmm;

/// <summary>What <see cref="SandboxFiles.SetAttributesAsync"/> changes; what is <see langword="null"/> stays. Immutable.</summary>
public sealed record FileAttributeChanges
{
    /// <summary>Permission bits, 0 to 4095 (octal 7777).</summary>
    public int? Mode { get; init; }

    /// <summary>Owner as name or number.</summary>
    public string? User { get; init; }

    /// <summary>Group as name or number.</summary>
    public string? Group { get; init; }

    /// <summary>
    /// Everything below a directory as well. Symbolic links below it get owner and group themselves, and have no mode. Default: no.
    /// </summary>
    public bool Recursive { get; init; }

    /// <summary>When the path itself is a symbolic link, change what it points to. Default: no.</summary>
    public bool FollowLink { get; init; }
}
