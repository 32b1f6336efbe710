namespace OpenSandbox.VirtioSerial;

/// <summary>Result of <see cref="Operations.Log"/>.</summary>
public sealed record ProcessLogResult
{
    /// <summary>Sequence number of the first byte that was sent: more than was asked for where that is not kept any more.</summary>
    public long Start { get; init; }

    /// <summary>Sequence number after the last byte that was sent.</summary>
    public long Next { get; init; }

    /// <summary>Sequence number of the oldest byte that is kept.</summary>
    public long FirstAvailable { get; init; }

    /// <summary>Whether <see cref="Next"/> is the end of the output of a process that is over.</summary>
    public bool Ended { get; init; }
}
