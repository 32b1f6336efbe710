using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Expiry;

namespace OpenSandbox.Vmm;

/// <content>The network of the guest, outwards and inwards.</content>
public sealed partial class Sandbox
{
    /// <summary>What the guest may reach, what it has used and what it was refused.</summary>
    public SandboxNetwork Network { get; }

    /// <summary>Connects to a TCP port inside the guest, on its loopback interface: IPv4 first, then IPv6.</summary>
    /// <param name="port">1 to 65,535.</param>
    /// <param name="cancellationToken">Stops connecting.</param>
    /// <returns>The connection; dispose it.</returns>
    /// <exception cref="ArgumentOutOfRangeException">No such port.</exception>
    /// <exception cref="SandboxOperationException">
    /// Nothing listens there (<see cref="SandboxErrorCode.ConnectionRefused"/>), or too many connections are open.
    /// </exception>
    /// <exception cref="SandboxTimeoutException">The guest did not say within <see cref="SandboxHostOptions.RequestTimeout"/>.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public async Task<SandboxPortStream> ConnectAsync(int port, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(port, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(port, ushort.MaxValue);
        using SandboxUse use = await UseAsync(cancellationToken).ConfigureAwait(false);
        string what = $"connecting to port {port}";
        GuestStream? stream = null;
        using CancellationTokenSource deadline = Deadlines.Start(Options.RequestTimeout, Options.TimeProvider, cancellationToken);
        try
        {
            stream = Channel.OpenStream(
                GuestPort.Network, new OpenRequest { Op = Operations.Connect, Tcp = new TcpRequest { Port = port } });
            await stream.GetStartedAsync(deadline.Token).ConfigureAwait(false);
            return new SandboxPortStream(this, stream, port);
        }
        catch (Exception failure)
        {
            if (stream is not null)
            {
                await stream.DisposeAsync().ConfigureAwait(false);
            }

            if (failure is OperationCanceledException)
            {
                cancellationToken.ThrowIfCancellationRequested();
                throw new SandboxTimeoutException(Id, what, Options.RequestTimeout, failure);
            }

            if (GuestErrors.Concerns(failure))
            {
                throw await GuestErrors.TranslateAsync(this, what, failure).ConfigureAwait(false);
            }

            throw;
        }
    }
}
