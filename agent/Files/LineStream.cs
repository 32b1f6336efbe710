using System.Buffers;
using System.Text.Json.Serialization.Metadata;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>A file operation that answers with lines of JSON in Data before its result.</summary>
internal abstract class LineStream : FileJob
{
    private readonly ArrayBufferWriter<byte> _lines = new(2 * ProtocolConstants.MaxPayloadSize);
    private readonly ReplyWriter _json = new();

    /// <inheritdoc/>
    protected LineStream(BulkLoop loop, uint id)
        : base(loop, id)
    {
    }

    /// <summary>Adds a line, and sends what fills whole frames.</summary>
    /// <returns>Whether the stream is still open.</returns>
    protected bool AddLine<T>(FrameBuffer output, T line, JsonTypeInfo<T> shape)
    {
        _lines.Write(_json.Write(line, shape));
        _lines.Write("\n"u8);
        return SendIfMuch(output);
    }

    /// <summary>Where bytes that are no lines are added; call <see cref="SendIfMuch"/> after no more than a frame's worth.</summary>
    protected IBufferWriter<byte> Bytes => _lines;

    /// <summary>Sends when there is enough for a whole frame.</summary>
    /// <returns>Whether the stream is still open.</returns>
    protected bool SendIfMuch(FrameBuffer output) =>
        _lines.WrittenCount < ProtocolConstants.MaxPayloadSize ? !IsClosed : SendLines(output);

    /// <summary>Sends all lines.</summary>
    /// <returns>Whether the stream is still open.</returns>
    protected bool SendLines(FrameBuffer output)
    {
        ReadOnlySpan<byte> rest = _lines.WrittenSpan;
        while (!rest.IsEmpty)
        {
            int count = Math.Min(rest.Length, ProtocolConstants.MaxPayloadSize);
            if (IsClosed || !TakeRoom(output, count))
            {
                return false;
            }

            output.Add(FrameType.Data, (byte)DataChannel.Content, Id, rest[..count]);
            rest = rest[count..];
        }

        _lines.ResetWrittenCount();
        return !IsClosed;
    }
}
