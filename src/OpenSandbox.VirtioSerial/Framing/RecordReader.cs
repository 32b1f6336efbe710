using System.Buffers.Binary;

namespace OpenSandbox.VirtioSerial;

/// <summary>
/// Takes several files apart that travel in one stream's Data (docs/protocol.md, "Records"), from pieces of any size. Not thread-safe.
/// </summary>
public sealed class RecordReader
{
    /// <summary>The longest head, and the longest failure, bytes.</summary>
    public const int MaxHeadBytes = 16_384;

    /// <summary>The longest chunk of content, bytes.</summary>
    public const int MaxChunkBytes = 1_048_576;

    /// <summary>Stands where a chunk's length does when the record breaks off.</summary>
    internal const uint FailureMark = uint.MaxValue;

    private readonly byte[] _text = new byte[MaxHeadBytes];
    private readonly byte[] _number = new byte[sizeof(uint)];
    private State _state;
    private int _have;
    private int _want;

    private enum State
    {
        HeadLength,
        Head,
        ChunkLength,
        Chunk,
        FailureLength,
        Failure,
    }

    /// <summary>Whether no record is half read.</summary>
    public bool IsBetweenRecords => _state == State.HeadLength && _have == 0;

    /// <summary>Takes the next part.</summary>
    /// <param name="bytes">Bytes of the stream; what was used is cut off. Call again until <see cref="RecordPart.NeedMore"/>.</param>
    /// <param name="part">Head, failure, or a piece of content that lies in <paramref name="bytes"/>; valid until the next call.</param>
    /// <returns>What it is.</returns>
    /// <exception cref="InvalidDataException">The bytes are no records.</exception>
    public RecordPart Read(ref ReadOnlySpan<byte> bytes, out ReadOnlySpan<byte> part)
    {
        part = default;
        while (true)
        {
            switch (_state)
            {
                case State.HeadLength or State.ChunkLength or State.FailureLength:
                    if (!Fill(ref bytes, _number))
                    {
                        return RecordPart.NeedMore;
                    }

                    if (Begin(BinaryPrimitives.ReadUInt32LittleEndian(_number)))
                    {
                        return RecordPart.End;
                    }

                    break;
                case State.Chunk:
                    if (bytes.IsEmpty)
                    {
                        return RecordPart.NeedMore;
                    }

                    int count = Math.Min(_want, bytes.Length);
                    part = bytes[..count];
                    bytes = bytes[count..];
                    _want -= count;
                    _state = _want == 0 ? State.ChunkLength : State.Chunk;
                    return RecordPart.Content;
                default:
                    if (!Fill(ref bytes, _text.AsSpan(0, _want)))
                    {
                        return RecordPart.NeedMore;
                    }

                    part = _text.AsSpan(0, _want);
                    bool isHead = _state == State.Head;
                    _state = isHead ? State.ChunkLength : State.HeadLength;
                    return isHead ? RecordPart.Head : RecordPart.Failure;
            }
        }
    }

    /// <summary>Acts on a length.</summary>
    /// <returns>Whether it ends the record.</returns>
    private bool Begin(uint length)
    {
        if (_state == State.ChunkLength)
        {
            _state = length switch
            {
                0 => State.HeadLength,
                FailureMark => State.FailureLength,
                <= MaxChunkBytes => State.Chunk,
                _ => throw new InvalidDataException($"a chunk of {length} bytes"),
            };
            _want = _state == State.Chunk ? (int)length : 0;
            return length == 0;
        }

        if (length is 0 or > MaxHeadBytes)
        {
            throw new InvalidDataException($"a record's text of {length} bytes");
        }

        _want = (int)length;
        _state = _state == State.HeadLength ? State.Head : State.Failure;
        return false;
    }

    private bool Fill(ref ReadOnlySpan<byte> bytes, Span<byte> target)
    {
        int count = Math.Min(target.Length - _have, bytes.Length);
        bytes[..count].CopyTo(target[_have..]);
        bytes = bytes[count..];
        _have += count;
        if (_have < target.Length)
        {
            return false;
        }

        _have = 0;
        return true;
    }
}
