namespace OpenSandbox.VirtioSerial;

/// <summary>Parameters of <see cref="Operations.Search"/>.</summary>
public sealed record SearchRequest
{
    /// <summary>Absolute path of the directory to search.</summary>
    public required string Path { get; init; }

    /// <summary>
    /// Glob of 1 to 1,024 characters. Without a slash it is matched with the last name, else with the path below <see cref="Path"/>.
    /// </summary>
    public required string Pattern { get; init; }

    /// <summary>Levels below the directory, 1 to 64; absent: 64.</summary>
    public int? Depth { get; init; }

    /// <summary>Stop after so many entries, 1 to 1,000,000; absent: 10,000.</summary>
    public int? MaxCount { get; init; }

    /// <summary>Find entries of every kind, not only regular files.</summary>
    public bool AllKinds { get; init; }

    /// <summary>Neither find nor enter what has a name with a dot at its beginning.</summary>
    public bool SkipHidden { get; init; }
}
