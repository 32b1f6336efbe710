using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>Takes Data and drops it: measures the port.</summary>
/// <param name="loop">The loop.</param>
/// <param name="id">The stream's id.</param>
internal sealed class SinkStream(BulkLoop loop, uint id) : BulkStream(loop, id)
{
    private long _bytes;

    internal override void OnData(ReadOnlySpan<byte> bytes)
    {
        _bytes += bytes.Length;
        Consumed(bytes.Length);
    }

    internal override void OnEnd() =>
        Loop.Finish(this, new FileResult { Bytes = _bytes }, ProtocolJsonContext.Default.FileResult);

    internal override void OnCancel() => Loop.Fail(this, AgentErrors.Make(AgentErrorCodes.Cancelled, 0, "cancelled"));

    internal override void OnSessionLost()
    {
    }
}
