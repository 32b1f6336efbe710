using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.Snapshots;

/// <summary>Memory of this process that copied guest pages are put into: outside of the garbage collector's, given back at once.</summary>
/// <remarks>Not thread-safe.</remarks>
internal sealed unsafe class PageStore : IDisposable
{
    private byte* _memory;

    private PageStore(byte* memory, long length)
    {
        _memory = memory;
        Length = length;
    }

    /// <summary>How much there is, bytes.</summary>
    internal long Length { get; }

    /// <summary>Reserves address space; memory comes with use, or beforehand with <see cref="Populate"/>.</summary>
    /// <exception cref="IOException">There is not enough.</exception>
    internal static PageStore Reserve(long length)
    {
        // JUSTIFICATION: pages must be there before the guest is stopped, and go back to the kernel at once; no managed memory does both.
        // SAFETY: the mapping belongs to this object, and every span lies within it.
        void* memory = Libc.MMap(
            null, (nuint)length, Libc.PROT_READ | Libc.PROT_WRITE, Libc.MAP_PRIVATE | Libc.MAP_ANONYMOUS | Libc.MAP_NORESERVE, -1, 0);
        return (nint)memory == -1 ? throw Errno.LastError($"mmap of {length} bytes for guest pages") : new PageStore((byte*)memory, length);
    }

    /// <summary>Makes the kernel provide the first part now, while nobody waits. Advice: without it the memory comes when it is written.</summary>
    internal void Populate(long length)
    {
        if (length > 0)
        {
            _ = Libc.MAdvise(_memory, (nuint)Math.Min(length, Length), Libc.MADV_POPULATE_WRITE);
        }
    }

    /// <summary>A part, at most 2 GiB less a page of it.</summary>
    internal Span<byte> Span(long offset, int length)
    {
        ObjectDisposedException.ThrowIf(_memory is null, this);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, Length - length);
        return new Span<byte>(_memory + offset, length);
    }

    public void Dispose()
    {
        if (_memory is not null)
        {
            _ = Libc.MUnmap(_memory, (nuint)Length);
            _memory = null;
        }
    }
}
