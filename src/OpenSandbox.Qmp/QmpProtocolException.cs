namespace OpenSandbox.Qmp;

/// <summary>QEMU sent something that is not QMP (or that is beyond the limits of <see cref="QmpClientOptions"/>), and the client closed the connection.</summary>
public sealed class QmpProtocolException : QmpConnectionException
{
    internal QmpProtocolException(string message, Exception? innerException = null)
        : base(message, innerException)
    {
    }
}
