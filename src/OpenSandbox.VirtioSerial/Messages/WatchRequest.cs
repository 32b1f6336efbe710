namespace OpenSandbox.VirtioSerial;

/// <summary>Parameters of <see cref="Operations.Watch"/>.</summary>
public sealed record WatchRequest
{
    /// <summary>Absolute path of a file or directory; a symbolic link is followed.</summary>
    public required string Path { get; init; }

    /// <summary>Watch the directories below it as well, also those that come later.</summary>
    public bool Recursive { get; init; }

    /// <summary>The most directories to watch, 1 to 65,536; absent: 8,192.</summary>
    public int? MaxWatches { get; init; }
}
