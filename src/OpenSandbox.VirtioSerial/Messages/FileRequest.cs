namespace OpenSandbox.VirtioSerial;

/// <summary>Parameters of the file operations.</summary>
public sealed record FileRequest
{
    /// <summary>Absolute path in the guest; no NUL, at most 4,095 bytes of UTF-8.</summary>
    public required string Path { get; init; }

    /// <summary>Write: permission bits of the file; absent: those of the file replaced, else 0644. Mkdir: absent 0755.</summary>
    public int? Mode { get; init; }

    /// <summary>Write, mkdir: owner as name or <c>uid[:gid]</c>; absent: owner of the file replaced, else <c>sandbox</c> or root.</summary>
    public string? User { get; init; }

    /// <summary>Write, mkdir: group as name or number; absent: that of <see cref="User"/>.</summary>
    public string? Group { get; init; }

    /// <summary>Write, mkdir: make missing parents. Remove: remove a directory with everything in it.</summary>
    public bool Recursive { get; init; }

    /// <summary>Read: first byte; absent: 0.</summary>
    public long? Offset { get; init; }

    /// <summary>Read: at most so many bytes; absent: to the end.</summary>
    public long? Length { get; init; }

    /// <summary>List: levels below the directory, 1 to 64; absent: 1.</summary>
    public int? Depth { get; init; }

    /// <summary>Remove: a path that does not exist is no error.</summary>
    public bool IgnoreMissing { get; init; }
}
