using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>Sends a range of a managed process's output, as far as it is kept; reports are left out.</summary>
/// <param name="loop">The loop.</param>
/// <param name="id">The stream's id.</param>
/// <param name="process">The process.</param>
/// <param name="from">Sequence number of the first byte wanted.</param>
/// <param name="length">Bytes at most.</param>
internal sealed class ProcessLog(BulkLoop loop, uint id, ManagedProcess process, long from, int length) : BulkStream(loop, id)
{
    private const int MinimumCopy = 16 * 1024; // as ProcessReader

    private readonly RingCursor _cursor = new(Math.Clamp(from, process.Ring.First, process.Ring.End));
    private long _start;
    private long _end;
    private int _room = ProtocolConstants.CreditWindow;

    /// <summary>Begins to send what is there now.</summary>
    internal void Begin()
    {
        _start = _cursor.Sequence;
        _end = Math.Min(process.Ring.End, _start + length);
        Loop.SendStarted(Id, new StartedReply());
        Send();
    }

    internal override void OnCredit(int bytes)
    {
        _room = Math.Min(_room + bytes, ProtocolConstants.CreditWindow);
        Send();
    }

    internal override void OnCancel() => Loop.Fail(this, AgentErrors.Make(AgentErrorCodes.Cancelled, 0, "cancelled"));

    internal override void OnSessionLost()
    {
    }

    // The port's room is not waited for: there are few of these, and their window bounds what they can leave with the port's writer.
    private void Send()
    {
        ScrollbackRing ring = process.Ring;
        while (_room > 0 && _cursor.Sequence < _end && _cursor.Sequence >= ring.First)
        {
            ReadOnlySpan<byte> bytes = ring.Peek(_cursor, out DataChannel channel);
            int count = (int)Math.Min(Math.Min(bytes.Length, _end - _cursor.Sequence), _room);
            if (channel != DataChannel.Report)
            {
                Span<byte> target = Loop.Out.Payload(Math.Min(count, MinimumCopy));
                count = Math.Min(count, target.Length);
                bytes[..count].CopyTo(target);
                Loop.Out.Commit(FrameType.Data, (byte)channel, Id, count);
                _room -= count;
            }

            ScrollbackRing.Advance(_cursor, count);
        }

        Loop.NoteOutput();
        if (_cursor.Sequence < _end && _cursor.Sequence >= ring.First)
        {
            return; // the host has to make room
        }

        Loop.Finish(
            this,
            new ProcessLogResult
            {
                Start = _start,
                Next = _cursor.Sequence,
                FirstAvailable = ring.First,
                Ended = process.Result is not null && _cursor.Sequence == ring.End,
            },
            ProtocolJsonContext.Default.ProcessLogResult);
    }
}
