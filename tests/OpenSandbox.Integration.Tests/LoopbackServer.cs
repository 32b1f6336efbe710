using System.Net;
using System.Net.Sockets;

namespace OpenSandbox.Integration.Tests;

/// <summary>A TCP server on the host's loopback, one task per connection.</summary>
internal sealed class LoopbackServer : IAsyncDisposable
{
    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly Func<Socket, Task>? _serve;
    private readonly List<Socket> _unread = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _loop;
    private int _accepted;

    internal LoopbackServer(Func<Socket, Task>? serve)
    {
        _serve = serve;
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen(1024);
        _loop = AcceptAsync();
    }

    /// <summary>A server that accepts and never reads.</summary>
    internal static LoopbackServer ThatReadsNothing() => new(null);

    internal int Port => ((IPEndPoint)_listener.LocalEndPoint!).Port;

    internal int Accepted => Volatile.Read(ref _accepted);

    /// <summary>Sends everything back, and then its end.</summary>
    internal static async Task EchoAsync(Socket socket)
    {
        byte[] buffer = new byte[65_536];
        int count;
        while ((count = await socket.ReceiveAsync(buffer)) > 0)
        {
            await socket.SendAsync(buffer.AsMemory(0, count));
        }

        socket.Shutdown(SocketShutdown.Send);
    }

    /// <summary>Echoes; or, when the first byte is an F, sends for ever.</summary>
    internal static async Task FloodOrEchoAsync(Socket socket)
    {
        byte[] buffer = new byte[65_536];
        int count = await socket.ReceiveAsync(buffer);
        if (count > 0 && buffer[0] == 'F')
        {
            while (await socket.SendAsync(buffer) > 0)
            {
            }
        }

        await socket.SendAsync(buffer.AsMemory(0, count));
        await EchoAsync(socket);
    }

    /// <summary>Reads something and resets.</summary>
    internal static async Task ResetAsync(Socket socket)
    {
        await socket.ReceiveAsync(new byte[100]);
        socket.LingerState = new LingerOption(enable: true, seconds: 0);
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Dispose();
        await _loop;
        _unread.ForEach(static socket => socket.Dispose());
        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                Socket socket = await _listener.AcceptAsync(_stop.Token);
                Interlocked.Increment(ref _accepted);
                if (_serve is null)
                {
                    _unread.Add(socket);
                }
                else
                {
                    _ = ServeAsync(socket, _serve);
                }
            }
        }
        catch (Exception stopped) when (stopped is OperationCanceledException or ObjectDisposedException or SocketException)
        {
            // The test is over.
        }
    }

    private static async Task ServeAsync(Socket socket, Func<Socket, Task> serve)
    {
        using (socket)
        {
            try
            {
                await serve(socket);
            }
            catch (SocketException)
            {
                // The peer has gone, which some tests are about.
            }
        }
    }
}
