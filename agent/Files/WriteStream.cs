using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// Writes a file. On trusted mounts the loop itself writes each frame's payload from where it was received: no copy, and no second thread to
/// wake. Everywhere else the bytes go through a ring of one window to a worker, which may hang. Constant memory either way.
/// </summary>
internal sealed class WriteStream : FileJob
{
    private readonly FileRequest _request;
    private FileReplacement? _file;
    private ByteRing? _ring;
    private bool _ended;
    private long _written;
    private long _microseconds;
    private int _uncredited;

    internal WriteStream(BulkLoop loop, uint id, FileRequest request)
        : base(loop, id)
    {
        _ = GuestPath.Check(request.Path);
        _request = request;
    }

    /// <summary>Begins the file if that cannot take long. Loop's side.</summary>
    /// <returns>Whether it was begun; if not, a worker must.</returns>
    internal bool TryBegin()
    {
        long before = ClockTicks.Microseconds;
        _file = FileReplacement.Begin(_request, Loop.Commands.Users, Loop.Files.Mounts.Confine, mayHang: false);
        _microseconds += ClockTicks.Microseconds - before;
        return _file is not null;
    }

    /// <summary>Takes the ring through which a worker gets the bytes. Loop's side, before the worker starts.</summary>
    internal void UseRing(ByteRing ring)
    {
        ring.Clear();
        _ring = ring;
    }

    internal override void OnData(ReadOnlySpan<byte> bytes)
    {
        if (_ended)
        {
            return; // the host broke its word; what it said first counts
        }

        if (_file is null)
        {
            lock (Gate)
            {
                _ring?.Add(bytes);
                Monitor.PulseAll(Gate);
            }

            return;
        }

        try
        {
            long before = ClockTicks.Microseconds;
            _file.Write(bytes);
            _microseconds += ClockTicks.Microseconds - before;
            _written += bytes.Length;
            Consumed(bytes.Length);
        }
        catch (GuestException exception)
        {
            FailOnLoop(exception);
        }
    }

    internal override void OnEnd()
    {
        if (_file is null)
        {
            lock (Gate)
            {
                _ended = true;
                Monitor.PulseAll(Gate);
            }

            return;
        }

        _ended = true;
        try
        {
            long before = ClockTicks.Microseconds;
            FileEntry entry = _file.Commit();
            DropFile();
            _microseconds += ClockTicks.Microseconds - before;
            var result = new FileResult { File = entry, Bytes = _written, FileMicroseconds = _microseconds };
            Loop.Finish(this, result, ProtocolJsonContext.Default.FileResult);
        }
        catch (GuestException exception)
        {
            FailOnLoop(exception);
        }
    }

    internal override void OnCancel()
    {
        DropFile();
        base.OnCancel();
    }

    internal override void OnSessionLost()
    {
        DropFile();
        base.OnSessionLost();
    }

    protected override void Work(FrameBuffer output)
    {
        ByteRing ring = _ring ?? throw new InvalidOperationException("no ring");
        try
        {
            long before = ClockTicks.Microseconds;
            using FileReplacement file = FileReplacement.Begin(_request, Loop.Commands.Users, TrustedMounts.Anywhere, mayHang: true)
                ?? throw new InvalidOperationException("a worker may go anywhere");
            _microseconds += ClockTicks.Microseconds - before;
            if (!CopyAll(ring, file, output))
            {
                return; // closed meanwhile: what was written disappears with the replacement
            }

            before = ClockTicks.Microseconds;
            FileEntry entry = file.Commit();
            _microseconds += ClockTicks.Microseconds - before;
            var result = new FileResult { File = entry, Bytes = _written, FileMicroseconds = _microseconds };
            Answer(output, FrameType.Result, result, ProtocolJsonContext.Default.FileResult);
        }
        finally
        {
            Loop.Post(() =>
            {
                _ring = null;
                Loop.Files.Return(ring);
            });
        }
    }

    private void FailOnLoop(GuestException exception)
    {
        DropFile();
        Loop.Fail(this, AgentErrors.From(exception));
    }

    private void DropFile()
    {
        _file?.Dispose();
        _ended |= _file is not null;
    }

    /// <returns>Whether all of it was copied; if not, the stream was closed.</returns>
    private bool CopyAll(ByteRing ring, FileReplacement file, FrameBuffer output)
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
                    return true;
                }

                bytes = ring.First;
            }

            long before = ClockTicks.Microseconds;
            file.Write(bytes);
            _microseconds += ClockTicks.Microseconds - before;
            _written += bytes.Length;
            lock (Gate)
            {
                ring.Drop(bytes.Length);
            }

            _uncredited += bytes.Length;
            if (_uncredited >= ProtocolConstants.CreditWindow / 4)
            {
                AddInboundRoom(_uncredited);
                output.AddCredit(Id, _uncredited);
                output.Flush();
                _uncredited = 0;
            }
        }
    }
}
