using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>Sends zero bytes as fast as the host gives credit: measures the port.</summary>
/// <param name="loop">The loop.</param>
/// <param name="id">The stream's id.</param>
/// <param name="length">Bytes to send.</param>
internal sealed class SourceStream(BulkLoop loop, uint id, long length) : BulkStream(loop, id)
{
    private readonly long _length = length;
    private long _sent;
    private int _room = ProtocolConstants.CreditWindow;

    /// <summary>Sends what the window allows.</summary>
    internal void Send()
    {
        while (_sent < _length && _room > 0)
        {
            int count = (int)Math.Min(Math.Min(_length - _sent, _room), ProtocolConstants.MaxPayloadSize);
            Loop.Out.Payload(count)[..count].Clear();
            Loop.Out.Commit(FrameType.Data, (byte)DataChannel.Content, Id, count);
            _sent += count;
            _room -= count;
        }

        Loop.NoteOutput();
        if (_sent == _length)
        {
            Loop.Finish(this, new FileResult { Bytes = _length }, ProtocolJsonContext.Default.FileResult);
        }
    }

    internal override void OnCredit(int bytes)
    {
        _room += bytes;
        Send();
    }

    internal override void OnCancel() => Loop.Fail(this, AgentErrors.Make(AgentErrorCodes.Cancelled, 0, "cancelled"));

    internal override void OnSessionLost()
    {
    }
}
