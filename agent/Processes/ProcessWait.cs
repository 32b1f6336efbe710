using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>A stream that waits for the end of a managed process.</summary>
/// <param name="loop">The loop.</param>
/// <param name="id">The stream's id.</param>
/// <param name="key">The process.</param>
internal sealed class ProcessWait(BulkLoop loop, uint id, uint key) : BulkStream(loop, id)
{
    /// <summary>The process has ended.</summary>
    internal void Finish(ExecResultMessage result) => Loop.Finish(this, result, ProtocolJsonContext.Default.ExecResultMessage);

    internal override void OnCancel()
    {
        Loop.Commands.Processes.StopWaiting(key, this);
        Loop.Fail(this, AgentErrors.Make(AgentErrorCodes.Cancelled, 0, "cancelled; the process runs on"));
    }

    internal override void OnSessionLost() => Loop.Commands.Processes.StopWaiting(key, this);
}
