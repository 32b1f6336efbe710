namespace OpenSandbox.VirtioSerial;

/// <summary>What became of one file of a request for several: a line of JSON, or the head of a record.</summary>
public sealed record ItemReply
{
    /// <summary>The path as the request had it.</summary>
    public required string Path { get; init; }

    /// <summary>The file afterwards; absent where there is an error, and for <see cref="Operations.Replace"/> where nothing was found.</summary>
    public FileEntry? File { get; init; }

    /// <summary>How often bytes were replaced.</summary>
    public int Count { get; init; }

    /// <summary>What went wrong with this file; the others are not concerned.</summary>
    public ItemError? Error { get; init; }
}
