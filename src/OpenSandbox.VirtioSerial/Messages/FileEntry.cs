namespace OpenSandbox.VirtioSerial;

/// <summary>One file, as lstat sees it.</summary>
public sealed record FileEntry
{
    /// <summary>Absolute path.</summary>
    public required string Path { get; init; }

    /// <summary><c>file</c>, <c>directory</c>, <c>symlink</c>, <c>fifo</c>, <c>socket</c>, <c>char</c> or <c>block</c>.</summary>
    public required string Type { get; init; }

    /// <summary>Size, bytes.</summary>
    public long Size { get; init; }

    /// <summary>Permission bits, 0 to 4095 (07777).</summary>
    public int Mode { get; init; }

    /// <summary>Owner.</summary>
    public uint Uid { get; init; }

    /// <summary>Group.</summary>
    public uint Gid { get; init; }

    /// <summary>Last modification, nanoseconds since the Unix epoch.</summary>
    public long ModifiedNanoseconds { get; init; }

    /// <summary>Target of a symbolic link.</summary>
    public string? LinkTarget { get; init; }

    /// <summary>More about it; only in answers whose subject is the file itself: stat, list and search.</summary>
    public FileDetails? Details { get; init; }
}
