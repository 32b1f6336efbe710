using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>A stream of the network port as its loop sees it. Every method runs on the loop's thread.</summary>
/// <param name="loop">The loop.</param>
/// <param name="id">The stream's id.</param>
internal abstract class NetworkStream(NetworkLoop loop, uint id)
{
    private int _consumed;

    /// <summary>The stream's id in its session.</summary>
    internal uint Id { get; } = id;

    /// <summary>Whether the agent has opened it, so that the host answers.</summary>
    internal bool IsOurs => Id >= ProtocolConstants.FirstAgentStreamId;

    /// <summary>Bytes that the host may still send.</summary>
    internal int InboundRoom { get; private set; } = ProtocolConstants.CreditWindow;

    /// <summary>Whether the agent's last frame of this stream has been sent.</summary>
    internal bool IsCancelled { get; set; }

    /// <summary>The loop that owns the stream.</summary>
    protected NetworkLoop Loop { get; } = loop;

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

    /// <summary>The host wants its request stopped.</summary>
    internal virtual void OnCancel()
    {
    }

    /// <summary>The host has answered the agent's request: the last that comes on this stream.</summary>
    /// <param name="succeeded">Whether with a result.</param>
    /// <param name="payload">The result or the error, as JSON.</param>
    internal virtual void OnAnswer(bool succeeded, ReadOnlySpan<byte> payload)
    {
    }

    /// <summary>The session is over: nothing can be sent any more.</summary>
    internal abstract void OnSessionLost();

    /// <summary>Takes room for bytes that came.</summary>
    internal void Arrived(int bytes) => InboundRoom -= bytes;

    /// <summary>Gives the host room back, in portions that are worth a frame.</summary>
    protected void Consumed(int bytes)
    {
        _consumed += bytes;
        if (_consumed >= ProtocolConstants.CreditWindow / 4 && !IsCancelled)
        {
            InboundRoom += _consumed;
            Loop.Out.AddCredit(Id, _consumed);
            Loop.NoteOutput();
            _consumed = 0;
        }
    }
}
