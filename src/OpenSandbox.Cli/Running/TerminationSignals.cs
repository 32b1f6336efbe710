using System.Runtime.InteropServices;

namespace OpenSandbox.Cli.Running;

/// <summary>
/// Turns the first SIGINT, SIGTERM or SIGHUP into a cancellation, so that the guest is ended properly. A second one ends the program at
/// once; the VM then dies with it, as it is attached to it.
/// </summary>
internal sealed class TerminationSignals : IDisposable
{
    private const int SigHup = 1;
    private const int SigInt = 2;
    private const int SigTerm = 15;

    private readonly CancellationTokenSource _received = new();
    private readonly PosixSignalRegistration[] _registrations;
    private int _signal;

    internal TerminationSignals() => _registrations =
    [
        PosixSignalRegistration.Create(PosixSignal.SIGINT, context => Receive(context, SigInt)),
        PosixSignalRegistration.Create(PosixSignal.SIGTERM, context => Receive(context, SigTerm)),
        PosixSignalRegistration.Create(PosixSignal.SIGHUP, context => Receive(context, SigHup)),
    ];

    /// <summary>Cancelled by the first signal.</summary>
    internal CancellationToken Token => _received.Token;

    /// <summary>Number of the first signal, or <see langword="null"/>.</summary>
    internal int? Received => Volatile.Read(ref _signal) is int signal and not 0 ? signal : null;

    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations)
        {
            registration.Dispose();
        }

        _received.Dispose();
    }

    private void Receive(PosixSignalContext context, int signal)
    {
        if (Interlocked.CompareExchange(ref _signal, signal, 0) != 0)
        {
            return;
        }

        context.Cancel = true;
        _received.Cancel();
    }
}
