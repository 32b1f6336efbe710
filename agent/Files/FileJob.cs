using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// A file operation that may run on a worker's thread. The loop's side and the worker's side share what is marked so; a stream is closed by
/// whichever comes first: the worker's answer, Cancel, or the end of the session.
/// </summary>
/// <param name="loop">The loop.</param>
/// <param name="id">The stream's id.</param>
internal abstract class FileJob(BulkLoop loop, uint id) : BulkStream(loop, id)
{
    private readonly uint _sessionTag = loop.SessionTag;
    private int _room = ProtocolConstants.CreditWindow;

    /// <summary>Guards what both sides use; pulsed when any of it changes.</summary>
    protected object Gate { get; } = new();

    /// <summary>Runs the operation. Worker's side.</summary>
    /// <param name="output">The worker's frames.</param>
    internal void RunOnWorker(FrameBuffer output)
    {
        output.BeginSession(_sessionTag);
        try
        {
            Work(output);
        }
        catch (Exception exception)
        {
            // Whatever one request does wrong, or meets with, is that request's answer.
            Answer(output, FrameType.Error, AgentErrors.From(exception), ProtocolJsonContext.Default.AgentError);
        }
    }

    internal override void OnCredit(int bytes)
    {
        lock (Gate)
        {
            _room = Math.Min(_room + bytes, ProtocolConstants.CreditWindow);
            Monitor.PulseAll(Gate);
        }
    }

    internal override void OnCancel()
    {
        Loop.Fail(this, AgentErrors.Make(AgentErrorCodes.Cancelled, 0, "cancelled"));
        WakeWorker();
    }

    internal override void OnSessionLost() => WakeWorker();

    /// <summary>The operation itself. Worker's side; ends with <see cref="Answer"/> or an exception.</summary>
    protected abstract void Work(FrameBuffer output);

    /// <summary>Closes the stream with its answer, unless it is closed. Worker's side.</summary>
    protected void Answer<T>(FrameBuffer output, FrameType type, T message, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> shape)
    {
        if (TryClose())
        {
            output.AddJson(type, Id, message, shape);
            output.Flush();
            Loop.Post(() => Loop.Forget(this));
        }
    }

    /// <summary>Waits until the host has room for so many bytes of Data, and takes them. Worker's side.</summary>
    /// <returns><see langword="false"/>: the stream was closed meanwhile.</returns>
    protected bool TakeRoom(FrameBuffer output, int bytes)
    {
        lock (Gate)
        {
            if (_room < bytes)
            {
                output.Flush(); // what waits in the buffer is what the host gives credit for
            }

            while (_room < bytes && !IsClosed)
            {
                Monitor.Wait(Gate); // ends by Credit, Cancel or a new session: all of them the host's to send
            }

            _room -= bytes;
            return !IsClosed;
        }
    }

    /// <summary>Gives room back that was taken but not used. Worker's side.</summary>
    protected void ReturnRoom(int bytes)
    {
        lock (Gate)
        {
            _room += bytes;
        }
    }

    private void WakeWorker()
    {
        lock (Gate)
        {
            Monitor.PulseAll(Gate);
        }
    }
}
