using System.Runtime.InteropServices;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>Sends a regular file, or a range of it. Small ones on trusted mounts are sent by the loop itself, in one write.</summary>
internal sealed class ReadStream : FileJob
{
    private const int InlineLimit = 24 * 1024;

    private FileEntry? _entry;
    private long _sent;
    private int _loopRoom = ProtocolConstants.CreditWindow;
    private readonly long _offset;
    private readonly long _length;
    private int _fd = -1;
    private long _microseconds;

    /// <summary>The file.</summary>
    internal string Path { get; }

    internal ReadStream(BulkLoop loop, uint id, FileRequest request)
        : base(loop, id)
    {
        if (request.Offset is < 0 || request.Length is < 0)
        {
            GuestException.ThrowInvalid("offset, length: not negative");
        }

        Path = GuestPath.Check(request.Path);
        _offset = request.Offset ?? 0;
        _length = request.Length ?? long.MaxValue;
    }

    /// <summary>Sends the file if that cannot take long. Loop's side.</summary>
    /// <returns>Whether it was sent; if not, a worker must.</returns>
    internal bool TryInline(PathBase path)
    {
        long before = ClockTicks.Microseconds;
        int fd = GuestFile.Open(path, Linux.O_RDONLY | Linux.O_NONBLOCK | Linux.O_NOCTTY);
        if (fd < 0)
        {
            return GuestFile.LeftTheMount() ? false : throw GuestException.LastError("open " + Path);
        }

        try
        {
            StatxBuffer stat = GuestFile.Stat(fd, Path);
            GuestFile.RequireRegular(stat, Path);
            FileEntry entry = GuestFile.Entry(stat, Path, null);
            if (Math.Min((long)stat.Size - _offset, _length) > InlineLimit)
            {
                (_fd, fd) = (fd, -1);
                _entry = entry;
                _microseconds = ClockTicks.Microseconds - before;
                Loop.SendStarted(Id, new StartedReply { File = entry });
                SendFromLoop();
                return true;
            }

            // No Started: the result follows at once and says the same.
            int limit = (int)Math.Min(_length, InlineLimit);
            Span<byte> target = Loop.Out.Payload(limit)[..limit];
            int count = 0;
            nint n = 0;
            while (count < limit && (n = Libc.PRead(fd, target[count..], (nuint)(limit - count), _offset + count)) > 0)
            {
                count += (int)n;
            }

            if (n < 0)
            {
                throw GuestException.LastError("read " + Path);
            }

            if (count > 0)
            {
                Loop.Out.Commit(FrameType.Data, (byte)DataChannel.Content, Id, count);
            }

            _ = Libc.Close(fd);
            fd = -1;
            var result = new FileResult { File = entry, Bytes = count, FileMicroseconds = ClockTicks.Microseconds - before };
            Loop.Finish(this, result, ProtocolJsonContext.Default.FileResult);
            return true;
        }
        finally
        {
            if (fd >= 0)
            {
                _ = Libc.Close(fd);
            }
        }
    }

    internal override void OnCredit(int bytes)
    {
        if (_entry is null)
        {
            base.OnCredit(bytes);
            return;
        }

        _loopRoom = Math.Min(_loopRoom + bytes, ProtocolConstants.CreditWindow);
        try
        {
            SendFromLoop();
        }
        catch (GuestException exception)
        {
            CloseFile();
            Loop.Fail(this, AgentErrors.From(exception));
        }
    }

    internal override void OnCancel()
    {
        CloseLoopFile();
        base.OnCancel();
    }

    internal override void OnSessionLost()
    {
        CloseLoopFile();
        base.OnSessionLost();
    }

    /// <summary>
    /// Sends what the window allows. Loop's side: a read from a trusted mount waits for the disk at most, and one thread for port and file
    /// moved several times more bytes than two that wake each other (measured under TCG).
    /// </summary>
    private void SendFromLoop()
    {
        while (true)
        {
            int want = (int)Math.Min(_length - _sent, ProtocolConstants.MaxPayloadSize);
            if (want > 0 && _loopRoom < want)
            {
                return;
            }

            Span<byte> target = Loop.Out.Payload(Math.Max(want, 1))[..want];
            long before = ClockTicks.Microseconds;
            nint n = want == 0 ? 0 : Libc.PRead(_fd, target, (nuint)want, _offset + _sent);
            _microseconds += ClockTicks.Microseconds - before;
            if (n < 0)
            {
                throw GuestException.LastError("read " + Path);
            }

            if (n == 0)
            {
                CloseFile();
                var result = new FileResult { File = _entry, Bytes = _sent, FileMicroseconds = _microseconds };
                Loop.Finish(this, result, ProtocolJsonContext.Default.FileResult);
                return;
            }

            Loop.Out.Commit(FrameType.Data, (byte)DataChannel.Content, Id, (int)n);
            Loop.NoteOutput();
            _sent += n;
            _loopRoom -= (int)n;
        }
    }

    private void CloseLoopFile()
    {
        if (_entry is not null)
        {
            CloseFile();
        }
    }

    private void CloseFile()
    {
        if (_fd >= 0)
        {
            _ = Libc.Close(_fd);
            _fd = -1;
        }
    }

    protected override void Work(FrameBuffer output)
    {
        try
        {
            long before = ClockTicks.Microseconds;
            StatxBuffer stat = OpenSlowly();
            _microseconds += ClockTicks.Microseconds - before;
            FileEntry entry = GuestFile.Entry(stat, Path, null);
            output.AddJson(FrameType.Started, Id, new StartedReply { File = entry }, ProtocolJsonContext.Default.StartedReply);
            if (Send(output) is { } sent)
            {
                var result = new FileResult { File = entry, Bytes = sent, FileMicroseconds = _microseconds };
                Answer(output, FrameType.Result, result, ProtocolJsonContext.Default.FileResult);
            }
        }
        finally
        {
            CloseFile();
        }
    }

    /// <summary>Opens the file wherever it is.</summary>
    private StatxBuffer OpenSlowly()
    {
        _fd = RegularFile.Open(Path, out StatxBuffer stat);
        if (_offset > 0)
        {
            _ = Libc.LSeek(_fd, _offset, 0) < 0 ? throw GuestException.LastError("seek " + Path) : 0;
        }

        return stat;
    }

    /// <returns>Bytes sent, or <see langword="null"/> when the stream was closed meanwhile.</returns>
    private long? Send(FrameBuffer output)
    {
        long sent = 0;
        while (sent < _length)
        {
            int want = (int)Math.Min(_length - sent, ProtocolConstants.MaxPayloadSize);
            if (!TakeRoom(output, want))
            {
                return null;
            }

            Span<byte> target = output.Payload(want)[..want];
            long before = ClockTicks.Microseconds;
            nint n = Libc.Read(_fd, target, (nuint)want);
            _microseconds += ClockTicks.Microseconds - before;
            if (n < 0)
            {
                throw GuestException.LastError("read " + Path);
            }

            ReturnRoom(want - (int)n);
            if (n == 0)
            {
                break;
            }

            output.Commit(FrameType.Data, (byte)DataChannel.Content, Id, (int)n);
            sent += n;
        }

        return sent;
    }
}
