using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>A stream of the bulk port as its loop sees it. Every method runs on the loop's thread.</summary>
/// <param name="loop">The loop.</param>
/// <param name="id">The stream's id.</param>
internal abstract class BulkStream(BulkLoop loop, uint id)
{
    /// <summary>The stream's id in its session.</summary>
    internal uint Id { get; } = id;

    /// <summary>Bytes that the host may still send.</summary>
    internal int InboundRoom => Volatile.Read(ref _inboundRoom);

    /// <summary>Whether the stream's answer has been given, or nobody waits for it any more. Thread-safe.</summary>
    internal bool IsClosed => Volatile.Read(ref _closed) != 0;

    /// <summary>The loop that owns the stream.</summary>
    protected BulkLoop Loop { get; } = loop;

    /// <summary>The host sent Data: at least one byte, and within <see cref="InboundRoom"/>.</summary>
    internal virtual void OnData(ReadOnlySpan<byte> bytes) => Consumed(bytes.Length);

    /// <summary>The host sends no more Data.</summary>
    internal virtual void OnEnd()
    {
    }

    /// <summary>The host has consumed Data.</summary>
    internal virtual void OnCredit(int bytes)
    {
    }

    /// <summary>The host wants the request stopped.</summary>
    internal abstract void OnCancel();

    /// <summary>The host sends the command a signal.</summary>
    internal virtual void OnSignal(SignalRequest signal)
    {
    }

    /// <summary>The session is over: nothing can be sent any more.</summary>
    internal abstract void OnSessionLost();

    /// <summary>Closes the stream. Thread-safe.</summary>
    /// <returns>Whether the caller is the one who closed it, and so gives the answer.</returns>
    internal bool TryClose()
    {
        if (Interlocked.Exchange(ref _closed, 1) != 0)
        {
            return false;
        }

        Loop.CountClosed();
        return true;
    }

    /// <summary>Changes <see cref="InboundRoom"/>. Thread-safe.</summary>
    internal void AddInboundRoom(int bytes) => Interlocked.Add(ref _inboundRoom, bytes);

    /// <summary>Gives the host room back, in portions that are worth a frame.</summary>
    protected void Consumed(int bytes)
    {
        _consumed += bytes;
        if (_consumed >= ProtocolConstants.CreditWindow / 4)
        {
            AddInboundRoom(_consumed);
            Loop.Out.AddCredit(Id, _consumed);
            Loop.NoteOutput();
            _consumed = 0;
        }
    }

    private int _consumed;
    private int _inboundRoom = ProtocolConstants.CreditWindow;
    private int _closed;
}
