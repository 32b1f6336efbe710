using System.Net.Sockets;
using System.Text;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Keeping;

namespace OpenSandbox.Cli.Tests.Support;

/// <summary>The other end of a control socket, in a state directory of its own, that says whatever a test wants.</summary>
internal sealed class FakeKeeper : IAsyncDisposable
{
    internal const string Id = "sb-0123abcd";
    private readonly string _state;
    private readonly Socket _listener;
    private readonly Task _serving;
    private readonly CancellationTokenSource _ending = new(CliProcess.Deadline);

    /// <param name="serve">Serves one connection; the preamble is not included.</param>
    internal FakeKeeper(Func<Socket, CancellationToken, Task> serve)
    {
        _state = System.IO.Directory.CreateTempSubdirectory("opensandbox-test-").FullName;
        Directory = new KeeperDirectory(_state);
        Directory.Prepare();
        _listener = Directory.Listen(Id);
        _serving = ServeAsync(serve);
    }

    internal KeeperDirectory Directory { get; }

    internal string State => _state;

    /// <summary>A keeper that answers requests by their operation.</summary>
    internal static FakeKeeper Answering(Func<ControlRequest, ControlConnection, CancellationToken, Task> answer) => new(async (socket, ending) =>
    {
        using var connection = new ControlConnection(socket);
        await connection.ExchangePreamblesAsync(ending);
        while (await connection.ReadAsync(ending) is { IsEnd: false } frame)
        {
            await answer(ControlConnection.Parse(frame.Payload, ControlJsonContext.Default.ControlRequest), connection, ending);
        }
    });

    /// <summary>A frame as it is on the wire.</summary>
    internal static byte[] Frame(ControlFrameKind kind, string json)
    {
        byte[] payload = Encoding.UTF8.GetBytes(json);
        byte[] frame = new byte[ControlProtocol.HeaderBytes + payload.Length];
        ControlProtocol.WriteHeader(frame, kind, payload.Length);
        payload.CopyTo(frame, ControlProtocol.HeaderBytes);
        return frame;
    }

    public async ValueTask DisposeAsync()
    {
        await _ending.CancelAsync();
        _listener.Dispose();
        await _serving.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _ending.Dispose();
        System.IO.Directory.Delete(_state, recursive: true);
    }

    private async Task ServeAsync(Func<Socket, CancellationToken, Task> serve)
    {
        while (true)
        {
            using Socket socket = await _listener.AcceptAsync(_ending.Token);
            try
            {
                await serve(socket, _ending.Token);
            }
            catch (Exception gone) when (gone is IOException or SocketException)
            {
                // The side under test has closed the connection.
                continue;
            }
        }
    }
}
