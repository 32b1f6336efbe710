namespace OpenSandbox.VirtioSerial;

/// <summary>
/// A stream that the agent has opened, on the network port, with its request: this side answers. Taken from
/// <see cref="GuestChannel.AcceptStreamAsync"/>; dispose it always. Thread-safe as <see cref="GuestStream"/> is.
/// </summary>
public sealed class AgentStream : IAsyncDisposable
{
    private readonly StreamCore _core;

    internal AgentStream(GuestStream data, StreamCore core, OpenRequest request, Task broken)
    {
        Broken = broken;
        Data = data;
        Request = request;
        _core = core;
    }

    /// <summary>What the guest asks for. Its shape has been checked and nothing else: the guest wrote it.</summary>
    public OpenRequest Request { get; }

    /// <summary>
    /// Completes when the guest will send nothing more on this stream: it has broken the request off, or confirmed the answer, or the channel
    /// has died. Never fails.
    /// </summary>
    public Task Broken { get; }

    /// <summary>
    /// The data of both directions. Reading fails with <see cref="GuestOperationException"/> (<see cref="AgentErrorCodes.Cancelled"/>) when the
    /// guest breaks the stream off; writing returns <see langword="false"/> then. Its signals, Started and result do not exist on such a
    /// stream.
    /// </summary>
    public GuestStream Data { get; }

    /// <summary>Tells the agent that the request is under way. Does nothing once the stream has ended.</summary>
    /// <exception cref="GuestChannelException">The channel is dead.</exception>
    public void Start() => _core.SendStarted(Data);

    /// <summary>Answers the request with success. The first answer counts. Data of the agent is dropped from now on.</summary>
    /// <param name="answer">The answer; at most <see cref="ProtocolConstants.MaxPayloadSize"/> bytes as JSON.</param>
    /// <exception cref="ArgumentException">The answer is too large.</exception>
    /// <exception cref="GuestChannelException">The channel is dead.</exception>
    public void Complete(HostReply answer)
    {
        ArgumentNullException.ThrowIfNull(answer);
        _core.Answer(Data, FrameType.Result, answer, ProtocolJsonContext.Default.HostReply);
    }

    /// <summary>Answers the request with an error. The first answer counts. Data of the agent is dropped from now on.</summary>
    /// <param name="error">Why; at most <see cref="ProtocolConstants.MaxPayloadSize"/> bytes as JSON.</param>
    /// <exception cref="ArgumentException">The answer is too large.</exception>
    /// <exception cref="GuestChannelException">The channel is dead.</exception>
    public void Fail(AgentError error)
    {
        ArgumentNullException.ThrowIfNull(error);
        _core.Answer(Data, FrameType.Error, error, ProtocolJsonContext.Default.AgentError);
    }

    /// <summary>Lets go of the stream. One that has not been answered is answered with an error. Never waits and never throws.</summary>
    /// <returns>A completed task.</returns>
    public ValueTask DisposeAsync() => Data.DisposeAsync();
}
