using System.Runtime.InteropServices;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.Compression;

/// <summary>
/// Reads one LZ4 frame of the shape that <see cref="Lz4Frame"/> names, piece by piece, and refuses every other. Holds at most about 0.6 MiB,
/// whatever the frame says. Not thread-safe.
/// </summary>
internal sealed class Lz4FrameDecompressor : IDisposable
{
    private readonly Lz4DecompressionContext _context;
    private readonly long _maxContent;
    private long _content;
    private int _headerSeen;
    private Lz4FormatException? _failure;

    /// <param name="maxContent">Most content, bytes, that the frame may have. One byte more is refused.</param>
    /// <exception cref="HostPrerequisiteException">liblz4 is not installed.</exception>
    internal Lz4FrameDecompressor(long maxContent)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(maxContent);
        _maxContent = maxContent;
        Lz4Frame.EnsureAvailable();
        nuint result = Lz4.CreateDecompressionContext(out _context, Lz4.ApiVersion);
        if (Lz4.IsError(result) != 0)
        {
            throw new InvalidOperationException($"liblz4: {Lz4Frame.Describe(result)}");
        }
    }

    /// <summary>Whether the frame has been read to its end and the checksums of its blocks are right.</summary>
    internal bool Ended { get; private set; }

    /// <summary>Content so far, bytes.</summary>
    internal long ContentLength => _content;

    /// <summary>Reads on. Returns when the source is used up, the destination is full, or the frame has ended.</summary>
    /// <param name="source">The bytes that follow; what was not consumed is to be passed again.</param>
    /// <param name="destination">Gets content. At least <see cref="Lz4Frame.BlockSize"/> bytes spare a copy.</param>
    /// <param name="consumed">Bytes of the source that were used. None behind the frame's end.</param>
    /// <returns>Bytes of content written.</returns>
    /// <exception cref="Lz4FormatException">The frame is damaged, of another shape, or too large. Every later call throws the same.</exception>
    internal int Decompress(ReadOnlySpan<byte> source, Span<byte> destination, out int consumed)
    {
        if (_failure is not null)
        {
            throw _failure;
        }

        CheckHeader(source);
        consumed = 0;
        int written = 0;
        Span<byte> beyond = stackalloc byte[1];
        while (!Ended && consumed < source.Length)
        {
            scoped Span<byte> room = destination[written..(int)Math.Min(destination.Length, written + (_maxContent - _content))];
            bool full = room.IsEmpty;
            if (full)
            {
                if (_content < _maxContent)
                {
                    return written;
                }

                // Everything that there may be is there: only the frame's end may follow.
                room = beyond;
            }

            ReadOnlySpan<byte> rest = source[consumed..];
            nuint used = (nuint)rest.Length, made = (nuint)room.Length;
            nuint result = Lz4.Decompress(
                _context, ref MemoryMarshal.GetReference(room), ref made, ref MemoryMarshal.GetReference(rest), ref used, options: 0);
            if (Lz4.IsError(result) != 0)
            {
                throw Fail($"the LZ4 frame is damaged: {Lz4Frame.Describe(result)}");
            }

            if (full && made > 0)
            {
                throw Fail($"the LZ4 frame has more content than the {_maxContent} bytes that it may have");
            }

            if (used == 0 && made == 0 && result != 0)
            {
                throw Fail("the LZ4 frame cannot be read on");
            }

            consumed += (int)used;
            written += (int)made;
            _content += (long)made;
            Ended = result == 0;
        }

        return written;
    }

    public void Dispose() => _context.Dispose();

    /// <summary>Compares the header with the only one there is, before the library makes room for what another would ask for.</summary>
    private void CheckHeader(ReadOnlySpan<byte> source)
    {
        ReadOnlySpan<byte> expected = Lz4Frame.Header[_headerSeen..];
        int length = Math.Min(expected.Length, source.Length);
        if (!source[..length].SequenceEqual(expected[..length]))
        {
            throw Fail("this is no LZ4 frame, or one of another shape");
        }

        _headerSeen += length;
    }

    private Lz4FormatException Fail(string message) => _failure = new Lz4FormatException(message);
}
