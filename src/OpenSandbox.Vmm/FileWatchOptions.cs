namespace OpenSandbox.Vmm;

/// <summary>What <see cref="SandboxFiles.WatchAsync"/> watches. Immutable; every setting has a default.</summary>
public sealed record FileWatchOptions
{
    internal static FileWatchOptions Default { get; } = new();

    /// <summary>Watch the directories below the path as well, also those that come later. Default: no.</summary>
    public bool Recursive { get; init; }

    /// <summary>
    /// The most directories to watch, 1 to 65,536: at the start more of them are an error, later
    /// <see cref="SandboxFileEventKind.WatchLimit"/>. Default: 8,192.
    /// </summary>
    public int MaxWatches { get; init; } = 8_192;
}
