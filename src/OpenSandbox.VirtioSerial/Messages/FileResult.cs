namespace OpenSandbox.VirtioSerial;

/// <summary>Result of a file operation.</summary>
public sealed record FileResult
{
    /// <summary>The file afterwards; absent after remove, sink and source.</summary>
    public FileEntry? File { get; init; }

    /// <summary>Bytes of content that were moved.</summary>
    public long Bytes { get; init; }

    /// <summary>Files that were changed, of a request that goes through a tree; else absent.</summary>
    public int? Count { get; init; }

    /// <summary>Microseconds the agent spent in open, read or write, and close.</summary>
    public long FileMicroseconds { get; init; }
}
