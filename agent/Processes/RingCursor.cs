namespace OpenSandbox.Agent;

/// <summary>A reader's place in a <see cref="ScrollbackRing"/>. Only the ring changes it.</summary>
/// <param name="sequence">Sequence number of the next byte.</param>
internal sealed class RingCursor(long sequence)
{
    /// <summary>Sequence number of the next byte.</summary>
    internal long Sequence { get; set; } = sequence;

    /// <summary>The chunk of that byte as last seen.</summary>
    internal RingChunk? Chunk { get; set; }

    /// <summary><see cref="RingChunk.Serial"/> of the chunk when it was seen.</summary>
    internal long Serial { get; set; }

    /// <summary>Where the byte's run begins in the chunk.</summary>
    internal int Run { get; set; }

    /// <summary>Bytes of the run before the byte.</summary>
    internal int Consumed { get; set; }
}
