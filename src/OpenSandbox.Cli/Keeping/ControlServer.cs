using System.Net.Sockets;
using OpenSandbox.Cli.Control;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Keeping;

/// <summary>Serves one sandbox of this process to other command lines of the same user, on a Unix socket.</summary>
internal sealed class ControlServer : IAsyncDisposable
{
    /// <summary>Connections at once; more are closed at once.</summary>
    private const int MaxConnections = 256;

    /// <summary>In which operations must end once the sandbox has.</summary>
    private static readonly TimeSpan s_grace = TimeSpan.FromSeconds(5);

    /// <summary>Never emptied: the kernel closes what is in it.</summary>
    private static readonly List<ControlConnection> s_untilExit = [];

    private readonly KeeperDirectory _directory;
    private readonly Socket _listener;
    private readonly Action<string> _log;
    private readonly AcceptPause _pause;
    private readonly CancellationTokenSource _closing = new();
    private readonly CancellationTokenSource _ending = new();
    private readonly Lock _gate = new();
    private readonly HashSet<Task> _sessions = [];
    private readonly Task _accepting;
    private int _removed;

    private ControlServer(Sandbox sandbox, KeptSandboxInfo info, KeeperDirectory directory, TimeProvider time, Action<string> log)
    {
        Sandbox = sandbox;
        Info = info;
        _directory = directory;
        _log = log;
        _pause = new AcceptPause(time, log);
        _listener = directory.Listen(sandbox.Id);
        _accepting = AcceptAsync();
    }

    /// <summary>The sandbox.</summary>
    internal Sandbox Sandbox { get; }

    /// <summary>What is told of it.</summary>
    internal KeptSandboxInfo Info => field with { State = Sandbox.State };

    /// <summary>Starts to serve a sandbox.</summary>
    /// <param name="sandbox">The sandbox.</param>
    /// <param name="options">Of its host.</param>
    /// <param name="detached">Whether this process runs in the background.</param>
    /// <param name="log">Takes what is worth knowing when something goes wrong.</param>
    internal static ControlServer Start(Sandbox sandbox, SandboxHostOptions options, bool detached, Action<string> log)
    {
        var directory = new KeeperDirectory(options.StateDirectory);
        directory.Prepare();
        var info = new KeptSandboxInfo
        {
            Id = sandbox.Id,
            State = sandbox.State,
            Image = sandbox.Spec.Image,
            CreatedAt = sandbox.CreatedAt,
            MemoryMib = sandbox.Spec.MemoryMib ?? options.BaseMemoryMib,
            Cpus = options.VcpuCount,
            Pid = Environment.ProcessId,
            Detached = detached,
            Isolation = KeptIsolation.From(sandbox.Isolation),
        };
        return new ControlServer(sandbox, info, directory, options.TimeProvider, log);
    }

    /// <summary>Nobody finds the sandbox any more; connections that exist go on.</summary>
    internal void RemoveSocket()
    {
        if (Interlocked.Exchange(ref _removed, 1) == 0)
        {
            File.Delete(_directory.SocketOf(Sandbox.Id));
        }
    }

    /// <summary>Keeps a connection open until this process has ended, whose end the other side waits for.</summary>
    internal void KeepUntilExit(ControlConnection connection)
    {
        connection.Detach();
        lock (_gate)
        {
            s_untilExit.Add(connection);
        }
    }

    /// <summary>Ends the service; operations under way have a moment to end by themselves.</summary>
    public async ValueTask DisposeAsync()
    {
        RemoveSocket();
        await _closing.CancelAsync().ConfigureAwait(false);
        _listener.Dispose();
        await _accepting.ConfigureAwait(false);
        Task all;
        lock (_gate)
        {
            all = Task.WhenAll(_sessions);
        }

        try
        {
            await all.WaitAsync(s_grace).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            await _ending.CancelAsync().ConfigureAwait(false);
            await all.ConfigureAwait(false);
        }

        _closing.Dispose();
        _ending.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (!_closing.IsCancellationRequested)
            {
                Socket socket;
                try
                {
                    socket = await _listener.AcceptAsync(_closing.Token).ConfigureAwait(false);
                }
                catch (SocketException failed)
                {
                    // The other side has gone before it was accepted, or descriptors have run out: the next may fare better.
                    await _pause.AfterAsync(failed, _closing.Token).ConfigureAwait(false);
                    continue;
                }

                _pause.Reset();
                Begin(socket);
            }
        }
        catch (Exception ended) when (ended is OperationCanceledException or ObjectDisposedException)
        {
            return;
        }
    }

    private void Begin(Socket socket)
    {
        lock (_gate)
        {
            if (_sessions.Count >= MaxConnections || !PeerCredentials.IsTrusted(socket))
            {
                _log(_sessions.Count >= MaxConnections ? $"more than {MaxConnections} connections: one was refused" : "another user's connection was refused");
                socket.Dispose();
                return;
            }

            Task session = Task.Run(() => ServeAsync(socket));
            _sessions.Add(session);
            _ = session.ContinueWith(Forget, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        }
    }

    private void Forget(Task session)
    {
        lock (_gate)
        {
            _sessions.Remove(session);
        }
    }

    private async Task ServeAsync(Socket socket)
    {
        using var connection = new ControlConnection(socket);
        try
        {
            await new ControlSession(connection, this).RunAsync(_closing.Token, _ending.Token).ConfigureAwait(false);
        }
        catch (Exception ended) when (ended is IOException or OperationCanceledException or SocketException)
        {
            // The other side has gone, or this process is ending; what the other side had asked for has been torn down.
            return;
        }
        catch (Exception unexpected)
        {
            _log($"internal error: {unexpected}");
        }
    }
}
