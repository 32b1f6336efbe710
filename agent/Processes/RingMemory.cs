namespace OpenSandbox.Agent;

/// <summary>
/// The memory of all rings together. Each ring may have <see cref="GuaranteedChunks"/> chunks in any case; beyond those, all rings share a
/// bound. One thread's own.
/// </summary>
/// <param name="sharedChunks">The bound, chunks.</param>
internal sealed class RingMemory(int sharedChunks)
{
    /// <summary>Chunks that every ring may have: with fewer than two, new output would overwrite all earlier output at once.</summary>
    internal const int GuaranteedChunks = 2;

    private const int MaxSpare = 8;
    private readonly Stack<RingChunk> _spare = new();
    private int _shared;
    private long _serial;

    /// <summary>Whether a ring that has <paramref name="owned"/> chunks may take another one.</summary>
    internal bool MayTake(int owned) => owned < GuaranteedChunks || _shared < sharedChunks;

    /// <summary>Takes a chunk for a ring that has <paramref name="owned"/>; <see cref="MayTake"/> says whether that is allowed.</summary>
    internal RingChunk Take(int owned, long firstSequence)
    {
        _shared += owned < GuaranteedChunks ? 0 : 1;
        RingChunk chunk = _spare.TryPop(out RingChunk? spare) ? spare : new RingChunk();
        Begin(chunk, firstSequence);
        return chunk;
    }

    /// <summary>Begins another use of a chunk that stays in its ring.</summary>
    internal void Begin(RingChunk chunk, long firstSequence) => chunk.Begin(++_serial, firstSequence);

    /// <summary>Takes all chunks of a ring back.</summary>
    internal void Return(RingChunk? first)
    {
        int owned = 0;
        for (RingChunk? chunk = first; chunk is not null;)
        {
            RingChunk? next = chunk.Next;
            _shared -= owned++ < GuaranteedChunks ? 0 : 1;
            chunk.Begin(0, 0);
            if (_spare.Count < MaxSpare)
            {
                _spare.Push(chunk);
            }
            else
            {
                chunk.Free();
            }

            chunk = next;
        }
    }

    /// <summary>Frees what is spare.</summary>
    internal void Close()
    {
        while (_spare.TryPop(out RingChunk? chunk))
        {
            chunk.Free();
        }
    }
}
