using System.Globalization;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace OpenSandbox.Integration.Tests;

/// <summary>Serves the files of a directory over HTTP or HTTPS on the host's loopback, one request per connection.</summary>
internal sealed class StaticSite : IAsyncDisposable
{
    private const int MaxHeader = 16_384;

    private readonly string _root;
    private readonly X509Certificate2? _certificate;
    private readonly LoopbackServer _server;

    private StaticSite(string root, X509Certificate2? certificate)
    {
        _root = root;
        _certificate = certificate;
        _server = new LoopbackServer(ServeAsync);
    }

    internal int Port => _server.Port;

    internal static StaticSite Start(string root, X509Certificate2? certificate = null) => new(root, certificate);

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    private async Task ServeAsync(Socket socket)
    {
        await using var network = new NetworkStream(socket, ownsSocket: false);
        if (_certificate is null)
        {
            await AnswerAsync(network);
        }
        else
        {
            await using var secure = new SslStream(network);
            await secure.AuthenticateAsServerAsync(_certificate);
            await AnswerAsync(secure);
        }

        socket.Shutdown(SocketShutdown.Send);
        await socket.ReceiveAsync(new byte[1]); // the client's end: closing earlier could reset what it has not read
    }

    private async Task AnswerAsync(Stream stream)
    {
        byte[] buffer = new byte[MaxHeader];
        int length = 0;
        while (buffer.AsSpan(0, length).IndexOf("\r\n\r\n"u8) < 0)
        {
            int count = await stream.ReadAsync(buffer.AsMemory(length));
            if (count == 0)
            {
                return;
            }

            length += count;
        }

        string[] request = Encoding.ASCII.GetString(buffer, 0, length).Split(' ', 3);
        string path = Uri.UnescapeDataString(request[1].Split('?')[0]).TrimStart('/');
        string file = Path.Combine(_root, path);
        if (Directory.Exists(file))
        {
            file = Path.Combine(file, "index.html");
        }

        bool found = File.Exists(file);
        byte[] content = found ? await File.ReadAllBytesAsync(file) : "no such file"u8.ToArray();
        string type = file.EndsWith(".html", StringComparison.Ordinal) ? "text/html" : "application/octet-stream";
        string head = string.Create(
            CultureInfo.InvariantCulture,
            $"HTTP/1.1 {(found ? "200 OK" : "404 Not Found")}\r\nContent-Type: {type}\r\nContent-Length: {content.Length}\r\nConnection: close\r\n\r\n");
        await stream.WriteAsync(Encoding.ASCII.GetBytes(head));
        if (request[0] != "HEAD")
        {
            await stream.WriteAsync(content);
        }

        await stream.FlushAsync();
    }
}
