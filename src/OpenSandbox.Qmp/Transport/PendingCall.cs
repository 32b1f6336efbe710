using OpenSandbox.Qmp.Protocol;

namespace OpenSandbox.Qmp.Transport;

/// <summary>A command that waits for its reply. Continuations never run on the thread that completes it.</summary>
internal sealed class PendingCall<T>(long id, string command, long deadline, TimeSpan limit, ReplyParser<T> parse)
    : TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously), IPendingCall
{
    private const int Unregistered = 0;
    private const int Registered = 1;
    private const int Completed = 2;

    private CancellationTokenRegistration _registration;
    private int _state = Unregistered;

    public long Id => id;

    public string Command => command;

    public long Deadline => deadline;

    public TimeSpan Limit => limit;

    public void Return(ReadOnlySpan<byte> json)
    {
        T value = parse(json);
        Unregister();
        TrySetResult(value);
    }

    public void Fail(Exception exception)
    {
        Unregister();
        TrySetException(exception);
    }

    public void Cancel(CancellationToken cancellationToken)
    {
        Unregister();
        TrySetCanceled(cancellationToken);
    }

    /// <summary>Hands over the registration of the caller's token, which is taken back on completion, or at once if that has been.</summary>
    internal void Attach(CancellationTokenRegistration registration)
    {
        _registration = registration;
        if (Interlocked.CompareExchange(ref _state, Registered, Unregistered) == Completed)
        {
            registration.Unregister();
        }
    }

    private void Unregister()
    {
        if (Interlocked.Exchange(ref _state, Completed) == Registered)
        {
            _registration.Unregister();
        }
    }
}
