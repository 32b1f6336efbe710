namespace OpenSandbox.VirtioSerial;

/// <summary>Result of <see cref="Operations.List"/>.</summary>
public sealed record ListResult
{
    /// <summary>Entries sent.</summary>
    public int Count { get; init; }

    /// <summary>There may be more: the search stopped at the number of entries that was asked for.</summary>
    public bool Truncated { get; init; }

    /// <summary>Directories that could not be read.</summary>
    public int Unreadable { get; init; }
}
