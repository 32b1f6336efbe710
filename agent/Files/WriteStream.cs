using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// Writes a file. What fits <see cref="InlineLimit"/> is gathered and written by the loop itself when the last byte is there, if the path
/// stays on trusted mounts; everything else goes through a worker, in constant memory.
/// </summary>
internal sealed class WriteStream : FileJob
{
    private const int InlineLimit = 64 * 1024;

    private readonly FileRequest _request;
    private readonly ByteRing _ring;
    private bool _handedOver;
    private bool _ended;
    private long _written;
    private long _microseconds;
    private int _uncredited;

    internal WriteStream(BulkLoop loop, uint id, FileRequest request, ByteRing ring)
        : base(loop, id)
    {
        _ = GuestPath.Check(request.Path);
        _request = request;
        _ring = ring;
        ring.Clear();
    }

    internal override void OnData(ReadOnlySpan<byte> bytes)
    {
        int count;
        lock (Gate)
        {
            if (_ended)
            {
                return; // the host broke its word; what it said first counts
            }

            _ring.Add(bytes);
            count = _ring.Count;
            Monitor.PulseAll(Gate);
        }

        if (!_handedOver && count > InlineLimit)
        {
            HandOver();
        }
    }

    internal override void OnEnd()
    {
        lock (Gate)
        {
            _ended = true;
            Monitor.PulseAll(Gate);
        }

        if (!_handedOver && !TryInline())
        {
            HandOver();
        }
    }

    internal override void OnCancel()
    {
        base.OnCancel();
        ReturnRing();
    }

    internal override void OnSessionLost()
    {
        base.OnSessionLost();
        ReturnRing();
    }

    protected override void Work(FrameBuffer output)
    {
        try
        {
            long before = ClockTicks.Microseconds;
            using FileReplacement file = FileReplacement.Begin(_request, Loop.Commands.Users, TrustedMounts.Anywhere, mayHang: true)
                ?? throw new InvalidOperationException("a worker may go anywhere");
            _microseconds += ClockTicks.Microseconds - before;
            if (!CopyAll(file, output))
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
            Loop.Post(() => Loop.Files.Return(_ring));
        }
    }

    private bool TryInline()
    {
        long before = ClockTicks.Microseconds;
        try
        {
            using FileReplacement? file =
                FileReplacement.Begin(_request, Loop.Commands.Users, Loop.Files.Mounts.Confine, mayHang: false);
            if (file is null)
            {
                return false;
            }

            file.Write(_ring.First); // in one piece: a ring that was never emptied begins at its beginning
            FileEntry entry = file.Commit();
            var result = new FileResult { File = entry, Bytes = _ring.Count, FileMicroseconds = ClockTicks.Microseconds - before };
            Loop.Finish(this, result, ProtocolJsonContext.Default.FileResult);
        }
        catch (GuestException exception)
        {
            Loop.Fail(this, AgentErrors.From(exception));
        }

        ReturnRing();
        return true;
    }

    private void HandOver()
    {
        _handedOver = true;
        try
        {
            Loop.Files.Submit(this);
        }
        catch (GuestException exception)
        {
            Loop.Fail(this, AgentErrors.From(exception));
            Loop.Files.Return(_ring);
        }
    }

    private void ReturnRing()
    {
        if (!_handedOver)
        {
            _handedOver = true; // nothing else may touch the ring
            Loop.Files.Return(_ring);
        }
    }

    /// <returns>Whether all of it was copied; if not, the stream was closed.</returns>
    private bool CopyAll(FileReplacement file, FrameBuffer output)
    {
        while (true)
        {
            ReadOnlySpan<byte> bytes;
            lock (Gate)
            {
                while (_ring.Count == 0 && !_ended && !IsClosed)
                {
                    Monitor.Wait(Gate); // ends by Data, End, Cancel or a new session: all of them the host's to send
                }

                if (IsClosed)
                {
                    return false;
                }

                if (_ring.Count == 0)
                {
                    return true;
                }

                bytes = _ring.First;
            }

            long before = ClockTicks.Microseconds;
            file.Write(bytes);
            _microseconds += ClockTicks.Microseconds - before;
            _written += bytes.Length;
            lock (Gate)
            {
                _ring.Drop(bytes.Length);
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
