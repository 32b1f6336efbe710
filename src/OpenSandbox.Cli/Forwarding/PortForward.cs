using System.Net;
using System.Net.Sockets;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Keeping;

namespace OpenSandbox.Cli.Forwarding;

/// <summary>Listens on a port here, and joins what connects to a port in a sandbox.</summary>
internal sealed class PortForward : IAsyncDisposable
{
    /// <summary>Connections at once; more wait in the kernel.</summary>
    private const int MaxConnections = 128;

    private readonly KeeperDirectory _keepers;
    private readonly string _id;
    private readonly int _remote;
    private readonly Action<string> _tell;
    private readonly AcceptPause _pause;
    private readonly Socket _listener;
    private readonly SemaphoreSlim _places = new(MaxConnections, MaxConnections);
    private readonly CancellationTokenSource _ending = new();
    private readonly Task _accepting;

    private PortForward(KeeperDirectory keepers, string id, int remote, Socket listener, Action<string> tell)
    {
        _keepers = keepers;
        _id = id;
        _remote = remote;
        _tell = tell;
        _pause = new AcceptPause(TimeProvider.System, tell);
        _listener = listener;
        _accepting = AcceptAsync();
    }

    /// <summary>Where it listens.</summary>
    internal EndPoint Address => _listener.LocalEndPoint!;

    /// <summary>Starts to listen.</summary>
    /// <exception cref="CliException">The port cannot be had.</exception>
    internal static PortForward Start(KeeperDirectory keepers, string id, IPAddress address, PortPair ports, Action<string> tell)
    {
        var listener = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            listener.Bind(new IPEndPoint(address, ports.Local));
            listener.Listen(MaxConnections);
            return new PortForward(keepers, id, ports.Remote, listener, tell);
        }
        catch (SocketException taken)
        {
            listener.Dispose();
            throw new CliException($"port {ports.Local} of {address} cannot be listened on: {taken.Message}", taken);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _ending.CancelAsync().ConfigureAwait(false);
        _listener.Dispose();
        await _accepting.ConfigureAwait(false);
        for (int i = 0; i < MaxConnections; i++)
        {
            // All places are free again when all connections have ended, which they do now.
            await _places.WaitAsync(CancellationToken.None).ConfigureAwait(false);
        }

        _places.Dispose();
        _ending.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                await _places.WaitAsync(_ending.Token).ConfigureAwait(false);
                Socket socket;
                try
                {
                    socket = await _listener.AcceptAsync(_ending.Token).ConfigureAwait(false);
                }
                catch (SocketException failed)
                {
                    _places.Release();
                    await _pause.AfterAsync(failed, _ending.Token).ConfigureAwait(false);
                    continue;
                }
                catch (OperationCanceledException)
                {
                    _places.Release();
                    throw;
                }

                _pause.Reset();
                _ = Task.Run(() => JoinAsync(socket), CancellationToken.None);
            }
        }
        catch (Exception ended) when (ended is OperationCanceledException or ObjectDisposedException)
        {
            return;
        }
    }

    private async Task JoinAsync(Socket socket)
    {
        try
        {
            using (socket)
            {
                socket.NoDelay = true;
                using KeptSandbox kept = await KeptSandbox.ConnectAsync(_keepers, _id, _ending.Token, blocks: false).ConfigureAwait(false);
                await kept.JoinAsync(_remote, socket, _ending.Token).ConfigureAwait(false);
            }
        }
        catch (Exception failure) when (failure is KeptSandboxException or CliException)
        {
            // Whoever connected sees a connection that ends; here is why.
            _tell(failure.Message);
        }
        catch (Exception ended) when (ended is IOException or SocketException or OperationCanceledException or ObjectDisposedException)
        {
            // One of the ends has gone, which the other has been shown.
            return;
        }
        finally
        {
            _places.Release();
        }
    }
}
