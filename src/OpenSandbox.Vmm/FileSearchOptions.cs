namespace OpenSandbox.Vmm;

/// <summary>What <see cref="SandboxFiles.SearchAsync"/> finds. Immutable; every setting has a default.</summary>
public sealed record FileSearchOptions
{
    internal static FileSearchOptions Default { get; } = new();

    /// <summary>Levels below the directory, 1 to 64. Default: 64.</summary>
    public int Depth { get; init; } = 64;

    /// <summary>Stop after so many entries, 1 to 1,000,000. Default: 10,000.</summary>
    public int MaxCount { get; init; } = 10_000;

    /// <summary>Find directories, links and all else as well. Default: no, regular files only.</summary>
    public bool AllKinds { get; init; }

    /// <summary>
    /// Find, and enter, what has a name with a dot at its beginning. To a pattern a dot is a character like all others. Default: yes.
    /// </summary>
    public bool IncludeHidden { get; init; } = true;

    internal void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(Depth, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(Depth, 64);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxCount, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(MaxCount, 1_000_000);
    }
}
