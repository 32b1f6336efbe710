using System.Net.Sockets;
using OpenSandbox.Cli.Keeping;

namespace OpenSandbox.Cli.Control;

/// <summary>A connection to a sandbox that another process keeps. Operations follow each other; those that stream end it.</summary>
internal sealed partial class KeptSandbox : IDisposable
{
    private const int ConnectionRefused = 111;

    /// <summary>In which a keeper must answer what needs nothing of the guest.</summary>
    private static readonly TimeSpan s_answerLimit = TimeSpan.FromSeconds(10);

    /// <summary>In which a sandbox and its keeper must be gone.</summary>
    private static readonly TimeSpan s_stopLimit = TimeSpan.FromSeconds(60);

    private readonly ControlConnection _connection;

    private KeptSandbox(string id, ControlConnection connection)
    {
        Id = id;
        _connection = connection;
    }

    /// <summary>The sandbox's id.</summary>
    internal string Id { get; }

    /// <summary>Connects to a kept sandbox.</summary>
    /// <param name="directory">Where kept sandboxes are found.</param>
    /// <param name="id">The sandbox.</param>
    /// <param name="cancellationToken">Stops connecting.</param>
    /// <param name="blocks">Whether threads wait in calls; see <see cref="ControlConnection"/>.</param>
    /// <exception cref="CliException">There is no such sandbox here, or its keeper does not answer.</exception>
    internal static async Task<KeptSandbox> ConnectAsync(KeeperDirectory directory, string id, CancellationToken cancellationToken, bool blocks = true)
    {
        if (!KeeperDirectory.IsId(id))
        {
            throw new CliException($"'{id}' is not a sandbox's id, such as sb-1a2b3c4d. See 'opensandbox ls'");
        }

        return await TryConnectAsync(directory, id, cancellationToken, blocks).ConfigureAwait(false) ?? throw Missing(directory, id);
    }

    /// <summary>Connects to a kept sandbox; what is left of one that is gone is removed.</summary>
    /// <returns><see langword="null"/> if there is no such sandbox any more.</returns>
    /// <exception cref="CliException">Its keeper does not answer, or is another version of this program.</exception>
    internal static async Task<KeptSandbox?> TryConnectAsync(
        KeeperDirectory directory, string id, CancellationToken cancellationToken, bool blocks = true)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(s_answerLimit);
        Socket socket;
        try
        {
            if (!File.Exists(directory.SocketOf(id)))
            {
                return null;
            }

            socket = directory.Connect(id, s_answerLimit);
        }
        catch (SocketException late) when (late.SocketErrorCode is SocketError.TimedOut or SocketError.WouldBlock or SocketError.InProgress)
        {
            throw Silent(directory, id, late);
        }
        catch (SocketException refused) when (refused.NativeErrorCode == ConnectionRefused)
        {
            // The socket was named only after somebody listened on it: whoever that was is gone.
            directory.RemoveStale(id);
            return null;
        }
        catch (SocketException) when (!File.Exists(directory.SocketOf(id)))
        {
            return null;
        }
        catch (SocketException failure)
        {
            throw new CliException($"sandbox {id} cannot be reached: {failure.Message}", failure);
        }

        var connection = new ControlConnection(socket, blocks);
        try
        {
            if (!PeerCredentials.IsTrusted(socket))
            {
                throw new CliException($"sandbox {id} cannot be reached: another user listens on its socket");
            }

            byte version = await connection.ExchangePreamblesAsync(deadline.Token).ConfigureAwait(false);
            return version == ControlProtocol.Version ? new KeptSandbox(id, connection) : throw new CliException(
                $"sandbox {id} is kept by another version of opensandbox (control protocol {version}; this one speaks "
                    + $"{ControlProtocol.Version}). Use that version, or end the sandbox with its keeper: fuser -k -TERM {directory.SocketOf(id)}");
        }
        catch (OperationCanceledException late) when (!cancellationToken.IsCancellationRequested)
        {
            connection.Dispose();
            throw Silent(directory, id, late);
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    /// <summary>Asks what the sandbox is.</summary>
    internal async Task<KeptSandboxInfo> GetInfoAsync(CancellationToken cancellationToken)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(s_answerLimit);
        try
        {
            await RequestAsync(new ControlRequest { Operation = ControlOperation.Info }, deadline.Token).ConfigureAwait(false);
            ControlFrame answer = await ExpectAsync(ControlFrameKind.Result, deadline.Token).ConfigureAwait(false);
            return ControlConnection.Parse(answer.Payload, ControlJsonContext.Default.KeptSandboxInfo);
        }
        catch (OperationCanceledException late) when (!cancellationToken.IsCancellationRequested)
        {
            throw new CliException($"the keeper of sandbox {Id} did not answer within {s_answerLimit.TotalSeconds:0} s", late);
        }
    }

    /// <summary>Ends the sandbox and waits until it is gone, and its keeper too.</summary>
    internal async Task StopAsync(CancellationToken cancellationToken)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(s_stopLimit);
        try
        {
            await RequestAsync(new ControlRequest { Operation = ControlOperation.Stop }, deadline.Token).ConfigureAwait(false);
            await ExpectAsync(ControlFrameKind.Result, deadline.Token).ConfigureAwait(false);
            if (!(await _connection.ReadAsync(deadline.Token).ConfigureAwait(false)).IsEnd)
            {
                throw new ControlProtocolException("something came after the end of the sandbox");
            }
        }
        catch (OperationCanceledException late) when (!cancellationToken.IsCancellationRequested)
        {
            throw new CliException($"sandbox {Id} did not end within {s_stopLimit.TotalSeconds:0} s", late);
        }
    }

    public void Dispose() => _connection.Dispose();

    private async Task RequestAsync(ControlRequest request, CancellationToken cancellationToken)
    {
        ReadOnlyMemory<byte> text = ControlText.Write(request);
        if (text.Length > ControlProtocol.MaxJsonBytes)
        {
            throw new CliException("the command and its environment are larger than a sandbox takes");
        }

        try
        {
            await _connection.SendAsync(ControlFrameKind.Request, text, cancellationToken).ConfigureAwait(false);
        }
        catch (IOException gone)
        {
            throw new CliException($"sandbox {Id} is gone: its keeper has ended", gone);
        }
    }

    /// <summary>Reads a frame that must be of a kind.</summary>
    /// <exception cref="KeptSandboxException">The operation failed.</exception>
    private async Task<ControlFrame> ExpectAsync(ControlFrameKind kind, CancellationToken cancellationToken)
    {
        ControlFrame frame = await ReadAsync(cancellationToken).ConfigureAwait(false);
        return frame.Kind == kind ? frame : throw new ControlProtocolException($"a frame of kind {frame.Kind} came from the keeper where {kind} was expected");
    }

    /// <summary>Reads a frame of an operation.</summary>
    /// <exception cref="KeptSandboxException">The operation failed.</exception>
    /// <exception cref="CliException">The keeper has gone.</exception>
    private async Task<ControlFrame> ReadAsync(CancellationToken cancellationToken)
    {
        ControlFrame frame = await _connection.ReadAsync(cancellationToken).ConfigureAwait(false);
        return frame.Kind switch
        {
            ControlFrameKind.None => throw new CliException($"sandbox {Id} is gone: its keeper has ended"),
            ControlFrameKind.Failure => throw new KeptSandboxException(ControlConnection.Parse(frame.Payload, ControlJsonContext.Default.ControlFailure)),
            _ => frame,
        };
    }

    private static CliException Silent(KeeperDirectory directory, string id, Exception late) => new(
        $"sandbox {id} cannot be reached: its keeper did not answer within {s_answerLimit.TotalSeconds:0} s. "
            + $"End both if it stays so: fuser -k {directory.SocketOf(id)}",
        late);

    /// <summary>What to say of a sandbox that is not here.</summary>
    internal static CliException Missing(KeeperDirectory directory, string id)
    {
        string log = directory.LogOf(id);
        return File.Exists(log)
            ? new CliException($"sandbox {id} is gone. Its keeper's log: {log}") { Detail = KeeperLog.ReadTail(log) }
            : new CliException($"there is no sandbox {id} here. See 'opensandbox ls'");
    }
}
