using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>A piece of unmanaged memory of a <see cref="ScrollbackRing"/>; belongs to one ring at a time.</summary>
internal sealed unsafe class RingChunk
{
    /// <summary>Size of a chunk, bytes.</summary>
    internal const int Size = 32 * 1024;

    // JUSTIFICATION: what a flood of output took goes back to the guest the moment it is freed; the managed heap would keep it.
    // SAFETY: the block has Size bytes, only Bytes gives access to it, and RingMemory frees it when no ring has the chunk any more.
    private byte* _block = Map();

    /// <summary>The memory.</summary>
    internal Span<byte> Bytes => new(_block, _block is null ? 0 : Size);

    /// <summary>Differs with each use, so that a cursor into an earlier use is known to be none.</summary>
    internal long Serial { get; set; }

    /// <summary>Sequence number of the first byte.</summary>
    internal long FirstSequence { get; set; }

    /// <summary>Bytes in use, run headers included.</summary>
    internal int End { get; set; }

    /// <summary>Where the last run begins; -1: there is none.</summary>
    internal int LastRun { get; set; } = -1;

    /// <summary>The chunk after this one.</summary>
    internal RingChunk? Next { get; set; }

    /// <summary>Begins another use.</summary>
    internal void Begin(long serial, long firstSequence)
    {
        Serial = serial;
        FirstSequence = firstSequence;
        End = 0;
        LastRun = -1;
        Next = null;
    }

    /// <summary>Frees the memory.</summary>
    internal void Free()
    {
        Serial = 0;
        _ = Libc.MUnmap((nint)_block, Size);
        _block = null;
    }

    private static byte* Map()
    {
        nint block = Libc.MMap(0, Size, Linux.PROT_READ_WRITE, Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS, -1, 0);
        return block == -1 ? throw GuestException.LastError("mmap") : (byte*)block;
    }
}
