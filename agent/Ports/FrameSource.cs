using System.Buffers;
using System.Buffers.Binary;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// Received bytes of one port, and the frames in them. Without a session every byte is dropped until a preamble; with one, a preamble may
/// stand wherever a frame may. One thread's own.
/// </summary>
/// <remarks>
/// Where the session is known that is to come, another one's preamble does not end the search: it may be anything in the content of an old
/// frame. The last such one is kept as long as there is room, as it may also be that of a session which is not known yet.
/// </remarks>
internal sealed class FrameSource
{
    private const int Capacity = 4 * ProtocolConstants.MaxFrameSize;

    private readonly byte[] _buffer = new byte[Capacity];
    private int _start;
    private int _end;
    private int _scanned; // behind _start only while searching, and only by a preamble of another session than the expected one
    private uint _tag;
    private ulong? _expected;

    /// <summary>Whether there is a session.</summary>
    internal bool HasSession => _tag != 0;

    /// <summary>Bytes that wait to be taken.</summary>
    internal int Available => _end - _start;

    /// <summary>Where to read to. Never empty: at most one incomplete frame stays behind <see cref="Next"/> unless frames are left untaken.</summary>
    internal Span<byte> Room
    {
        get
        {
            if (_tag == 0 && Capacity - (_end - _start) < ProtocolConstants.MaxFrameSize)
            {
                _start = Math.Max(_start, _scanned); // nobody has asked for the other session's preamble
            }

            if (_start == _end)
            {
                _start = _end = _scanned = 0;
            }
            else if (_start > 0 && Capacity - _end < ProtocolConstants.MaxFrameSize)
            {
                _buffer.AsSpan(_start.._end).CopyTo(_buffer);
                _end -= _start;
                _scanned = Math.Max(0, _scanned - _start);
                _start = 0;
            }

            return _buffer.AsSpan(_end);
        }
    }

    /// <summary>Says how many bytes were read to <see cref="Room"/>.</summary>
    internal void Advance(int count) => _end += count;

    /// <summary>Ends the session: from here on a preamble is looked for, also in what has been received already.</summary>
    /// <param name="expected">The epoch of the session that is to come; <see langword="null"/>: any.</param>
    internal void Reset(ulong? expected = null)
    {
        _tag = 0;
        _expected = expected;
        _scanned = _start;
    }

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
        bool keeps = _scanned > _start;
        while (true)
        {
            var bytes = new ReadOnlySequence<byte>(_buffer, _scanned, _end - _scanned);
            bool found = Preamble.TryFind(ref bytes, null, out preamble);
            _scanned = _end - (int)bytes.Length;
            if (!found)
            {
                _start = keeps ? _start : _scanned;
                return FrameSourceStatus.NeedMoreData;
            }

            if (_expected is not { } epoch || epoch == preamble.Epoch)
            {
                _start = _scanned;
                _tag = preamble.SessionTag;
                return FrameSourceStatus.Preamble;
            }

            _start = _scanned - ProtocolConstants.PreambleSize;
            keeps = true;
        }
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

        Reset(); // the bytes stay: a preamble may lie among them
        return FrameSourceStatus.Broken;
    }
}
