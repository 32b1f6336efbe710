namespace OpenSandbox.Qmp;

/// <summary>QEMU did not answer, or an event did not come, before a deadline that this client keeps.</summary>
/// <remarks>
/// The client can still be used, and a reply that comes late is dropped: whether the command took effect is not known.
/// Out of <see cref="QmpClient.ConnectAsync"/> it means that no client came into being and the socket is closed.
/// </remarks>
public sealed class QmpTimeoutException : QmpException
{
    internal QmpTimeoutException(string operation, TimeSpan limit)
        : base($"No answer from QEMU to {operation} within {limit.TotalMilliseconds:0} ms", innerException: null)
    {
        Operation = operation;
        Limit = limit;
    }

    /// <summary>The command, <c>greeting</c>, or <c>event</c> with the names that were waited for.</summary>
    public string Operation { get; }

    /// <summary>The limit that expired.</summary>
    public TimeSpan Limit { get; }
}
