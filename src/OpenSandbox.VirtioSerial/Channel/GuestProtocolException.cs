namespace OpenSandbox.VirtioSerial;

/// <summary>The guest broke a rule of the protocol. The channel is dead, and whatever runs in the guest is not to be trusted any more.</summary>
public sealed class GuestProtocolException : GuestChannelException
{
    internal GuestProtocolException(ProtocolViolation violation, string message, Exception? innerException = null)
        : base(message, innerException)
    {
        Violation = violation;
    }

    /// <summary>The rule.</summary>
    public ProtocolViolation Violation { get; }

    internal override GuestChannelException ForCaller() => new GuestProtocolException(Violation, Message, this);
}
