namespace OpenSandbox.VirtioSerial;

/// <summary>Parameters of <see cref="Operations.Attributes"/>; at least one attribute.</summary>
public sealed record AttributesRequest
{
    /// <summary>Absolute path.</summary>
    public required string Path { get; init; }

    /// <summary>Permission bits, 0 to 4095 (07777); absent: they stay.</summary>
    public int? Mode { get; init; }

    /// <summary>Owner as name or number; absent: it stays.</summary>
    public string? User { get; init; }

    /// <summary>Group as name or number; absent: it stays.</summary>
    public string? Group { get; init; }

    /// <summary>Everything below a directory as well; symbolic links below it get the owner themselves, and have no mode.</summary>
    public bool Recursive { get; init; }

    /// <summary>When the path itself is a symbolic link, change what it points to.</summary>
    public bool FollowLink { get; init; }
}
