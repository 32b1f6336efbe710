using System.Text.Json;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>A request of the agent that has an answer and no data.</summary>
/// <param name="loop">The loop.</param>
/// <param name="id">The stream's id.</param>
/// <param name="answered">Told the answer, or the error, once; neither when the session is over.</param>
internal sealed class HostQuestion(NetworkLoop loop, uint id, Action<HostReply?, AgentError?> answered) : NetworkStream(loop, id)
{
    internal override void OnAnswer(bool succeeded, ReadOnlySpan<byte> payload)
    {
        Loop.Close(this);
        HostReply? reply = null;
        AgentError? error = null;
        try
        {
            if (succeeded)
            {
                reply = JsonSerializer.Deserialize(payload, ProtocolJsonContext.Default.HostReply);
            }
            else
            {
                error = JsonSerializer.Deserialize(payload, ProtocolJsonContext.Default.AgentError);
            }
        }
        catch (JsonException exception)
        {
            error = AgentErrors.Make(AgentErrorCodes.Internal, 0, exception.Message);
        }

        answered(reply, error);
    }

    internal override void OnSessionLost() => answered(null, null);
}
