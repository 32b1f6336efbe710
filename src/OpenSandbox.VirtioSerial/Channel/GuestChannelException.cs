namespace OpenSandbox.VirtioSerial;

/// <summary>
/// The channel to the guest is dead: connection lost, closed by this side, or (as <see cref="GuestProtocolException"/>) rules broken by the
/// guest. Every pending and later call reports the first cause.
/// </summary>
public class GuestChannelException : Exception
{
    internal GuestChannelException(string message, Exception? innerException = null)
        : base(message, innerException)
    {
    }

    /// <summary>
    /// A new exception with the same message for one caller: several threads throwing one instance would mix up its stack trace.
    /// </summary>
    internal virtual GuestChannelException ForCaller() => new(Message, this);
}
