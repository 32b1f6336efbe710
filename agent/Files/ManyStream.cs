using System.Text.Json;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>Describes or sends several files in one answer. What goes wrong with one is that one's answer.</summary>
internal sealed class ManyStream : LineStream
{
    private const int MaxPaths = 10_000;
    private const int PieceBytes = 24 * 1024; // with the head of its record it fits a frame
    private const long DefaultMaxFileBytes = 64L << 20;

    private readonly PathsRequest _request;
    private readonly bool _withContent;
    private readonly byte[] _piece;

    internal ManyStream(BulkLoop loop, uint id, PathsRequest request, bool withContent)
        : base(loop, id)
    {
        if (request.Paths.Length is 0 or > MaxPaths || request.MaxFileBytes is < 0)
        {
            GuestException.ThrowInvalid($"paths: 1 to {MaxPaths}; maxFileBytes: not negative");
        }

        _request = request;
        _withContent = withContent;
        _piece = withContent ? new byte[PieceBytes] : [];
    }

    protected override void Work(FrameBuffer output)
    {
        long before = ClockTicks.Microseconds;
        long bytes = 0;
        foreach (string path in _request.Paths)
        {
            if (!(_withContent ? SendFile(path, output, ref bytes) : SendDescription(path, output)))
            {
                return;
            }
        }

        if (SendLines(output))
        {
            var result = new FileResult { Bytes = bytes, Count = _request.Paths.Length, FileMicroseconds = ClockTicks.Microseconds - before };
            Answer(output, FrameType.Result, result, ProtocolJsonContext.Default.FileResult);
        }
    }

    private bool SendDescription(string path, FrameBuffer output)
    {
        ItemReply reply;
        try
        {
            string checkedPath = GuestPath.Check(path);
            int fd = GuestException.Check(
                GuestFile.Open(TrustedMounts.Anywhere(checkedPath), Linux.O_PATH | Linux.O_NOFOLLOW), "stat " + checkedPath);
            try
            {
                reply = new ItemReply { Path = path, File = GuestFile.DescribeFully(fd, checkedPath, Loop.Commands.Users) };
            }
            finally
            {
                _ = Libc.Close(fd);
            }
        }
        catch (GuestException exception)
        {
            reply = new ItemReply { Path = path ?? "", Error = ItemErrors.From(exception) };
        }

        return AddLine(output, reply, ProtocolJsonContext.Default.ItemReply);
    }

    private bool SendFile(string path, FrameBuffer output, ref long bytes)
    {
        var record = new RecordWriter(Bytes);
        int fd = -1;
        try
        {
            string checkedPath = GuestPath.Check(path);
            fd = RegularFile.Open(checkedPath, out StatxBuffer stat);
            RequireBound((long)stat.Size, checkedPath);
            WriteHead(record, new ItemReply { Path = path, File = GuestFile.Entry(stat, checkedPath, null) });
        }
        catch (GuestException exception)
        {
            _ = fd < 0 ? 0 : Libc.Close(fd);
            WriteHead(record, new ItemReply { Path = path ?? "", Error = ItemErrors.From(exception) });
            record.WriteEnd();
            return SendIfMuch(output);
        }

        long sent = 0;
        try
        {
            nint n;
            while ((n = Libc.Read(fd, _piece, (nuint)_piece.Length)) > 0)
            {
                sent += n;
                RequireBound(sent, path);
                record.WriteContent(_piece.AsSpan(0, (int)n));
                if (!SendIfMuch(output))
                {
                    return false;
                }
            }

            _ = GuestException.Check((int)n, "read " + path);
            bytes += sent;
            record.WriteEnd();
        }
        catch (GuestException exception)
        {
            record.WriteFailure(JsonSerializer.SerializeToUtf8Bytes(ItemErrors.From(exception), ProtocolJsonContext.Default.ItemError));
        }
        finally
        {
            _ = Libc.Close(fd);
        }

        return SendIfMuch(output);
    }

    private void RequireBound(long size, string path)
    {
        long most = _request.MaxFileBytes ?? DefaultMaxFileBytes;
        if (size > most)
        {
            throw GuestException.Coded(AgentErrorCodes.LimitReached, $"{path}: larger than {most} bytes", Linux.EFBIG);
        }
    }

    private static void WriteHead(RecordWriter record, ItemReply head)
    {
        byte[] json = JsonSerializer.SerializeToUtf8Bytes(head, ProtocolJsonContext.Default.ItemReply);
        if (json.Length > RecordReader.MaxHeadBytes)
        {
            // A path of thousands of characters that JSON must escape: the host knows it by its place.
            json = JsonSerializer.SerializeToUtf8Bytes(
                new ItemReply
                {
                    Path = "",
                    Error = new ItemError { Code = AgentErrorCodes.LimitReached, Message = "the path is too long to be described" },
                },
                ProtocolJsonContext.Default.ItemReply);
        }

        record.WriteHead(json);
    }
}
