namespace OpenSandbox.Qmp;

/// <summary>Base of everything that can go wrong between this client and QEMU. The leaf types say what is still usable.</summary>
/// <remarks>
/// <code>
/// QmpException
/// ├─ QmpCommandException     QEMU refused one command; the client is usable
/// ├─ QmpTimeoutException     a deadline expired; the client is usable (except out of ConnectAsync)
/// └─ QmpConnectionException  the connection is gone; dispose of the client
///    └─ QmpProtocolException   ... because QEMU sent something that is not QMP
/// </code>
/// </remarks>
public abstract class QmpException : Exception
{
    private protected QmpException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }
}
