using System.Buffers.Binary;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>A stream that is attached to a managed process.</summary>
/// <param name="loop">The loop.</param>
/// <param name="id">The stream's id.</param>
/// <param name="process">The process.</param>
/// <param name="from">Sequence number of the first byte wanted.</param>
internal sealed class ProcessReader(BulkLoop loop, uint id, ManagedProcess process, long from) : BulkStream(loop, id)
{
    private const int MinimumCopy = 16 * 1024; // a frame shorter than this is not worth it: then the gathered frames leave first

    private readonly RingCursor _cursor = new(from);
    private int _room = ProtocolConstants.CreditWindow;

    /// <summary>Whether it never gets a gap.</summary>
    internal bool Lossless { get; init; }

    /// <summary>Whether it may write input.</summary>
    internal bool Input { get; init; }

    /// <summary>Whether it has started the process.</summary>
    internal bool Owner { get; init; }

    /// <summary>Sequence number of the next byte that it gets.</summary>
    internal long Sequence => _cursor.Sequence;

    /// <summary>Says how the process is attached to, and begins: from here on nothing is missed.</summary>
    internal void Begin()
    {
        Loop.SendStarted(Id, new StartedReply
        {
            Pid = process.Pid,
            Process = new ProcessAttached
            {
                Id = ProcessEntries.Id(process.Key),
                Sequence = _cursor.Sequence,
                ReplayEnd = Math.Max(_cursor.Sequence, process.Ring.End),
                Terminal = process.Terminal,
            },
        });
        Loop.NoteOutput();
        process.Attach(this);
    }

    /// <summary>Sends what the host and the port have room for, and the result when that was all.</summary>
    internal void Send()
    {
        ScrollbackRing ring = process.Ring;
        while (_room > 0 && Loop.MayWrite && !IsClosed)
        {
            if (_cursor.Sequence < ring.First)
            {
                if (_room < sizeof(long))
                {
                    return;
                }

                SendGap(ring.First);
                continue;
            }

            ReadOnlySpan<byte> bytes = ring.Peek(_cursor, out DataChannel channel);
            if (bytes.IsEmpty)
            {
                break;
            }

            int count = Math.Min(bytes.Length, _room);
            Span<byte> target = Loop.Out.Payload(Math.Min(count, MinimumCopy));
            count = Math.Min(count, target.Length);
            bytes[..count].CopyTo(target);
            Loop.Out.Commit(FrameType.Data, (byte)channel, Id, count);
            ScrollbackRing.Advance(_cursor, count);
            _room -= count;
            Loop.NoteOutput();
        }

        if (process.Result is { } result && _cursor.Sequence >= ring.End && !IsClosed)
        {
            Loop.Finish(this, result, ProtocolJsonContext.Default.ExecResultMessage);
            process.Remove(this);
        }
    }

    /// <summary>The process has taken input, or dropped it.</summary>
    internal void InputTaken(int bytes)
    {
        if (bytes > 0 && !IsClosed)
        {
            Consumed(bytes);
        }
    }

    internal override void OnData(ReadOnlySpan<byte> bytes)
    {
        if (Input)
        {
            process.WriteInput(this, bytes);
        }
        else
        {
            Consumed(bytes.Length);
        }
    }

    internal override void OnEnd()
    {
        if (Input)
        {
            process.EndInput();
        }
    }

    internal override void OnCredit(int bytes)
    {
        _room = Math.Min(_room + bytes, ProtocolConstants.CreditWindow);
        Send();
        process.OnProgress();
    }

    internal override void OnCancel()
    {
        Loop.Fail(this, AgentErrors.Make(AgentErrorCodes.Cancelled, 0, "cancelled"));
        Leave();
    }

    internal override void OnSignal(SignalRequest signal)
    {
        _ = signal.WholeCgroup ? process.Kill() : process.Signal(signal.Signal);
    }

    internal override void OnSessionLost()
    {
        if (Owner && Loop.KeepsProcesses)
        {
            process.Detach();
        }

        Leave();
    }

    private void Leave()
    {
        process.Remove(this);
        if (Owner)
        {
            process.OnOwnerGone();
        }
    }

    private void SendGap(long resumesAt)
    {
        BinaryPrimitives.WriteInt64LittleEndian(Loop.Out.Payload(sizeof(long)), resumesAt);
        Loop.Out.Commit(FrameType.Data, (byte)DataChannel.Gap, Id, sizeof(long));
        _cursor.Sequence = resumesAt;
        _room -= sizeof(long);
        Loop.NoteOutput();
    }
}
