using System.Buffers;
using System.Buffers.Binary;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// Received bytes of one port, and the frames in them. Without a session every byte is dropped until a preamble; with one, a preamble may
/// stand wherever a frame may. One thread's own.
/// </summary>
internal sealed class FrameSource
{
    private const int Capacity = 4 * ProtocolConstants.MaxFrameSize;

    private readonly byte[] _buffer = new byte[Capacity];
    private int _start;
    private int _end;
    private uint _tag;

    /// <summary>Whether there is a session.</summary>
    internal bool HasSession => _tag != 0;

    /// <summary>Bytes that wait to be taken.</summary>
    internal int Available => _end - _start;

    /// <summary>Where to read to. Never empty: at most one incomplete frame stays behind <see cref="Next"/> unless frames are left untaken.</summary>
    internal Span<byte> Room
    {
        get
        {
            if (_start == _end)
            {
                _start = _end = 0;
            }
            else if (_start > 0 && Capacity - _end < ProtocolConstants.MaxFrameSize)
            {
                _buffer.AsSpan(_start.._end).CopyTo(_buffer);
                _end -= _start;
                _start = 0;
            }

            return _buffer.AsSpan(_end);
        }
    }

    /// <summary>Says how many bytes were read to <see cref="Room"/>.</summary>
    internal void Advance(int count) => _end += count;

    /// <summary>Ends the session: from here on a preamble is looked for.</summary>
    internal void Reset() => _tag = 0;

    /// <summary>Takes the next thing.</summary>
    /// <param name="header">The frame's header.</param>
    /// <param name="payload">The frame's payload: valid until <see cref="Room"/> is used.</param>
    /// <param name="preamble">The preamble.</param>
    /// <returns>What there is.</returns>
    internal FrameSourceStatus Next(out FrameHeader header, out ReadOnlySpan<byte> payload, out Preamble preamble)
    {
        header = default;
        payload = default;
        preamble = default;
        if (_start == _end)
        {
            return FrameSourceStatus.NeedMoreData;
        }

        return _tag == 0 ? Search(out preamble) : Take(out header, out payload, out preamble);
    }

    private FrameSourceStatus Search(out Preamble preamble)
    {
        var bytes = new ReadOnlySequence<byte>(_buffer, _start, _end - _start);
        bool found = Preamble.TryFind(ref bytes, null, out preamble);
        _start = _end - (int)bytes.Length;
        if (!found)
        {
            return FrameSourceStatus.NeedMoreData;
        }

        _tag = preamble.SessionTag;
        return FrameSourceStatus.Preamble;
    }

    private FrameSourceStatus Take(out FrameHeader header, out ReadOnlySpan<byte> payload, out Preamble preamble)
    {
        payload = default;
        preamble = default;
        ReadOnlySpan<byte> bytes = _buffer.AsSpan(_start.._end);
        FrameError error = FrameHeader.TryRead(bytes, _tag, out header);
        if (error == FrameError.Truncated || (error == FrameError.None && bytes.Length < header.FrameSize))
        {
            return FrameSourceStatus.NeedMoreData;
        }

        int trailer = ProtocolConstants.HeaderSize + header.PayloadLength;
        if (error == FrameError.None && BinaryPrimitives.ReadUInt32LittleEndian(bytes[trailer..]) == ~_tag)
        {
            payload = bytes[ProtocolConstants.HeaderSize..trailer];
            _start += header.FrameSize;
            return FrameSourceStatus.Frame;
        }

        if (bytes.StartsWith(ProtocolConstants.Magic) && bytes.Length < ProtocolConstants.PreambleSize)
        {
            return FrameSourceStatus.NeedMoreData;
        }

        if (Preamble.TryRead(bytes, out preamble))
        {
            _start += ProtocolConstants.PreambleSize;
            _tag = preamble.SessionTag;
            return FrameSourceStatus.Preamble;
        }

        // The bytes stay: a preamble may lie among them.
        _tag = 0;
        return FrameSourceStatus.Broken;
    }
}
