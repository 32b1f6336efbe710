using System.Text.Json;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// Writes several files from one stream of records, each atomically. What goes wrong with one is that one's answer; its content is dropped.
/// The bytes go through a ring of one window to a worker: constant memory, whatever the number and the sizes.
/// </summary>
internal sealed class WriteManyStream : LineStream
{
    private const int MaxFiles = 100_000;

    private readonly RecordReader _records = new();
    private ByteRing? _ring;
    private FileReplacement? _file;
    private FileEntry? _entry;
    private string _path = "";
    private ItemError? _error;
    private bool _ended;
    private int _count;
    private int _written;
    private long _bytes;
    private int _uncredited;

    internal WriteManyStream(BulkLoop loop, uint id, ByteRing ring)
        : base(loop, id)
    {
        ring.Clear();
        _ring = ring;
    }

    internal override void OnData(ReadOnlySpan<byte> bytes)
    {
        lock (Gate)
        {
            if (!_ended)
            {
                _ring?.Add(bytes);
                Monitor.PulseAll(Gate);
            }
        }
    }

    internal override void OnEnd()
    {
        lock (Gate)
        {
            _ended = true;
            Monitor.PulseAll(Gate);
        }
    }

    protected override void Work(FrameBuffer output)
    {
        ByteRing ring = _ring ?? throw new InvalidOperationException("no ring");
        try
        {
            long before = ClockTicks.Microseconds;
            if (TakeAll(ring, output) && SendLines(output))
            {
                var result = new FileResult { Bytes = _bytes, Count = _written, FileMicroseconds = ClockTicks.Microseconds - before };
                Answer(output, FrameType.Result, result, ProtocolJsonContext.Default.FileResult);
            }
        }
        finally
        {
            _file?.Dispose(); // half a file: it disappears
            Loop.Post(() =>
            {
                _ring = null;
                Loop.Files.Return(ring);
            });
        }
    }

    /// <returns>Whether all of it came and is written; if not, the stream was closed.</returns>
    private bool TakeAll(ByteRing ring, FrameBuffer output)
    {
        while (true)
        {
            ReadOnlySpan<byte> bytes;
            lock (Gate)
            {
                while (ring.Count == 0 && !_ended && !IsClosed)
                {
                    Monitor.Wait(Gate); // ends by Data, End, Cancel or a new session: all of them the host's to send
                }

                if (IsClosed)
                {
                    return false;
                }

                if (ring.Count == 0)
                {
                    return _records.IsBetweenRecords
                        ? true
                        : throw GuestException.Coded(AgentErrorCodes.InvalidRequest, "the data ends within a record");
                }

                bytes = ring.First;
            }

            int count = bytes.Length;
            if (!Take(bytes, output))
            {
                return false;
            }

            lock (Gate)
            {
                ring.Drop(count);
            }

            _uncredited += count;
            if (_uncredited >= ProtocolConstants.CreditWindow / 4)
            {
                AddInboundRoom(_uncredited);
                output.AddCredit(Id, _uncredited);
                output.Flush();
                _uncredited = 0;
            }
        }
    }

    private bool Take(ReadOnlySpan<byte> bytes, FrameBuffer output)
    {
        try
        {
            while (true)
            {
                switch (_records.Read(ref bytes, out ReadOnlySpan<byte> part))
                {
                    case RecordPart.NeedMore:
                        return true;
                    case RecordPart.Head:
                        Begin(part);
                        break;
                    case RecordPart.Content:
                        Attempt(part, static (stream, content) => stream.Write(content));
                        break;
                    case RecordPart.End:
                        Attempt(default, static (stream, _) => stream.Commit());
                        if (!Reply(output))
                        {
                            return false;
                        }

                        break;
                    default:
                        _error ??= new ItemError { Code = AgentErrorCodes.Cancelled, Message = "the host gave this file up" };
                        if (!Reply(output))
                        {
                            return false;
                        }

                        break;
                }
            }
        }
        catch (InvalidDataException exception)
        {
            throw GuestException.Coded(AgentErrorCodes.InvalidRequest, exception.Message);
        }
    }

    private void Begin(ReadOnlySpan<byte> head)
    {
        if (++_count > MaxFiles)
        {
            throw GuestException.Coded(AgentErrorCodes.LimitReached, $"more than {MaxFiles} files in one request");
        }

        FileRequest request;
        try
        {
            request = JsonSerializer.Deserialize(head, ProtocolJsonContext.Default.ItemHead)?.File
                ?? throw GuestException.Coded(AgentErrorCodes.InvalidRequest, "a record's head is null");
        }
        catch (JsonException exception)
        {
            throw GuestException.Coded(AgentErrorCodes.InvalidRequest, exception.Message);
        }

        _path = request.Path;
        _error = null;
        try
        {
            _file = FileReplacement.Begin(request, Loop.Commands.Users, TrustedMounts.Anywhere, mayHang: true);
        }
        catch (GuestException exception)
        {
            _error = ItemErrors.From(exception);
        }
    }

    private delegate void Step(WriteManyStream stream, ReadOnlySpan<byte> content);

    private void Attempt(ReadOnlySpan<byte> content, Step step)
    {
        if (_error is not null)
        {
            return;
        }

        try
        {
            step(this, content);
        }
        catch (GuestException exception)
        {
            _error = ItemErrors.From(exception);
        }
    }

    private void Write(ReadOnlySpan<byte> content)
    {
        _file?.Write(content);
        _bytes += content.Length;
    }

    private void Commit()
    {
        _entry = _file?.Commit();
        _written++;
    }

    private bool Reply(FrameBuffer output)
    {
        _file?.Dispose();
        _file = null;
        var reply = new ItemReply { Path = _path, File = _error is null ? _entry : null, Error = _error };
        _entry = null;
        return AddLine(output, reply, ProtocolJsonContext.Default.ItemReply);
    }
}
