using System.Globalization;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace OpenSandbox.Qmp.Tests.Support;

/// <summary>The other end of a real socket pair, that says what a test tells it to.</summary>
internal sealed class ScriptedPeer : IDisposable
{
    internal const string Greeting =
        """{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian 1:7.2"}, "capabilities": ["oob"]}}""" + "\r\n";

    private readonly byte[] _received = new byte[64 * 1024];
    private int _count;

    internal ScriptedPeer()
    {
        (Client, Socket) = Native.SocketPair();
    }

    /// <summary>The end for the client.</summary>
    internal Socket Client { get; }

    /// <summary>The end of the peer.</summary>
    internal Socket Socket { get; }

    /// <summary>A client that has been greeted and has negotiated.</summary>
    internal async Task<QmpClient> ConnectAsync(QmpClientOptions? options = null)
    {
        Task<QmpClient> connecting = QmpClient.ConnectAsync(Client, options);
        await SendAsync(Greeting);
        PeerCommand negotiation = await ReadAsync();
        Assert.Equal("qmp_capabilities", negotiation.Name);
        await ReturnAsync(negotiation.Id);
        return await connecting.Soon();
    }

    internal Task SendAsync(string text) => SendAsync(Encoding.UTF8.GetBytes(text));

    internal async Task SendAsync(ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            int sent = await Socket.SendAsync(bytes, SocketFlags.None).Soon();
            bytes = bytes[sent..];
        }
    }

    internal Task ReturnAsync(long id, string value = "{}") =>
        SendAsync(string.Create(CultureInfo.InvariantCulture, $"{{\"return\": {value}, \"id\": {id}}}\r\n"));

    internal Task RefuseAsync(long id, string errorClass, string description) =>
        SendAsync(string.Create(
            CultureInfo.InvariantCulture, $"{{\"id\": {id}, \"error\": {{\"class\": \"{errorClass}\", \"desc\": \"{description}\"}}}}\r\n"));

    internal Task EventAsync(string name, string data = "{}") =>
        SendAsync($"{{\"timestamp\": {{\"seconds\": 1700000000, \"microseconds\": 123456}}, \"event\": \"{name}\", \"data\": {data}}}\r\n");

    /// <summary>The next command.</summary>
    internal async Task<PeerCommand> ReadAsync()
    {
        while (true)
        {
            int end = Array.IndexOf(_received, (byte)'\n', 0, _count);
            if (end >= 0)
            {
                using JsonDocument line = JsonDocument.Parse(_received.AsMemory(0, end));
                JsonElement command = line.RootElement.Clone();
                _count -= end + 1;
                Array.Copy(_received, end + 1, _received, 0, _count);
                return new PeerCommand(
                    command.GetProperty("id").GetInt64(),
                    command.GetProperty("execute").GetString()!,
                    command.TryGetProperty("arguments", out JsonElement arguments) ? arguments.GetRawText() : null);
            }

            int received = await Socket.ReceiveAsync(_received.AsMemory(_count), SocketFlags.None).Soon();
            if (received == 0)
            {
                throw new EndOfStreamException("The client closed the connection");
            }

            _count += received;
        }
    }

    public void Dispose()
    {
        Socket.Dispose();
        Client.Dispose();
    }
}

/// <summary>A command as the peer sees it.</summary>
internal sealed record PeerCommand(long Id, string Name, string? Arguments);
