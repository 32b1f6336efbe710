namespace OpenSandbox.VirtioSerial;

/// <summary>What happened to a file, a line of <see cref="Operations.Watch"/>.</summary>
public sealed record WatchEvent
{
    /// <summary>
    /// <c>created</c>, <c>modified</c>, <c>written</c> (closed after writing), <c>attributes</c>, <c>moved_from</c>, <c>moved_to</c>,
    /// <c>deleted</c>; <c>overflow</c>: events were lost; <c>limit</c>: no more directories can be watched, this one is not.
    /// </summary>
    public required string Kind { get; init; }

    /// <summary>Absolute path; absent for <c>overflow</c>.</summary>
    public string? Path { get; init; }

    /// <summary>Whether it is a directory.</summary>
    public bool Directory { get; init; }

    /// <summary>The same number in the two events of one move; 0 in all others.</summary>
    public uint Cookie { get; init; }
}
