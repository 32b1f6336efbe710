using System.Text.Json;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>Sends all processes of one moment, each as a line of JSON.</summary>
/// <param name="loop">The loop.</param>
/// <param name="id">The stream's id.</param>
internal sealed class ProcessListing(BulkLoop loop, uint id) : BulkStream(loop, id)
{
    private readonly uint[] _keys = loop.Commands.Keys();
    private int _next;
    private int _count;
    private int _room = ProtocolConstants.CreditWindow;

    /// <summary>Sends what the host has room for.</summary>
    internal void Send()
    {
        while (_next < _keys.Length)
        {
            if (Loop.Commands.Find(_keys[_next]) is { } command)
            {
                byte[] line = JsonSerializer.SerializeToUtf8Bytes(command.Describe(_keys[_next]), ProtocolJsonContext.Default.ProcessEntry);
                if (line.Length + 1 > _room)
                {
                    return;
                }

                Span<byte> target = Loop.Out.Payload(line.Length + 1);
                line.CopyTo(target);
                target[line.Length] = (byte)'\n';
                Loop.Out.Commit(FrameType.Data, (byte)DataChannel.Content, Id, line.Length + 1);
                _room -= line.Length + 1;
                _count++;
            }

            _next++;
        }

        Loop.Finish(this, new ListResult { Count = _count }, ProtocolJsonContext.Default.ListResult);
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
}
