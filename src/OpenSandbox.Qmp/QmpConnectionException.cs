namespace OpenSandbox.Qmp;

/// <summary>The connection to QEMU is gone and the client with it. Every pending and every later call reports the same first cause.</summary>
public class QmpConnectionException : QmpException
{
    internal QmpConnectionException(string message, Exception? innerException = null)
        : base(message, innerException)
    {
    }
}
