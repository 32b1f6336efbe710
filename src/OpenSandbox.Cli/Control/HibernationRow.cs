namespace OpenSandbox.Cli.Control;

/// <summary>A sandbox that was put away, as <c>hibernate --json</c> prints it.</summary>
internal sealed record HibernationRow
{
    /// <summary>Its id.</summary>
    public required string Id { get; init; }

    /// <summary>Pages of 4 KiB in which its memory differed from the golden snapshot; nothing if it slept already.</summary>
    public long? MemoryPages { get; init; }

    /// <summary>Bytes that memory and devices take on disk; nothing if it slept already.</summary>
    public long? MemoryBytes { get; init; }

    /// <summary>How long it took, milliseconds.</summary>
    public double Milliseconds { get; init; }
}
