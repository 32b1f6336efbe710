using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace OpenSandbox.Vmm.Tests.Network;

/// <summary>A query as the test server sees it.</summary>
internal sealed record ServerQuery(ushort Id, string Name, ushort Type, bool OverTcp, bool Edns, byte[] Message);

/// <summary>An upstream DNS server on loopback, over UDP and TCP, that answers as a test says: with any datagrams, or not at all.</summary>
internal sealed class DnsTestServer : IAsyncDisposable
{
    private readonly Func<ServerQuery, IEnumerable<byte[]>> _answer;
    private readonly Socket _udp;
    private readonly Socket _tcp;
    private readonly CancellationTokenSource _stopping = new();
    private readonly Task _work;

    internal DnsTestServer(Func<ServerQuery, IEnumerable<byte[]>> answer)
    {
        _answer = answer;
        (_udp, _tcp) = Bind();
        Address = (IPEndPoint)_udp.LocalEndPoint!;
        _tcp.Listen();
        _work = Task.WhenAll(Task.Run(ServeUdpAsync), Task.Run(ServeTcpAsync));
    }

    /// <summary>Answers one query with one datagram.</summary>
    internal static DnsTestServer Answering(Func<ServerQuery, byte[]> answer) => new(query => [answer(query)]);

    /// <summary>Gives these addresses for every name and the type that fits.</summary>
    internal static DnsTestServer With(params string[] addresses) => Answering(query => Wire.Reply(
        query.Id,
        query.Name,
        query.Type,
        0,
        [.. addresses.Select(address => Wire.Address(query.Name, address)).Where(record => RecordType(record, query.Name) == query.Type)]));

    internal IPEndPoint Address { get; }

    internal ConcurrentQueue<ServerQuery> Queries { get; } = new();

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        _udp.Dispose();
        _tcp.Dispose();
        try
        {
            await _work.WaitAsync(Limits.Wait);
        }
        catch (Exception ended) when (ended is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // Stopped.
        }

        _stopping.Dispose();
    }

    private static ushort RecordType(byte[] record, string owner) => BinaryPrimitives.ReadUInt16BigEndian(record.AsSpan(Wire.Name(owner).Length));

    private static (Socket Udp, Socket Tcp) Bind()
    {
        for (int tries = 1; ; tries++)
        {
            var udp = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
            var tcp = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                udp.Bind(new IPEndPoint(IPAddress.Loopback, 0));
                tcp.Bind(udp.LocalEndPoint!);
                return (udp, tcp);
            }
            catch (SocketException) when (tries < 50)
            {
                // Another test has the same port for TCP.
                udp.Dispose();
                tcp.Dispose();
            }
        }
    }

    private IEnumerable<byte[]> Answer(byte[] message, bool overTcp)
    {
        int at = 12;
        string name = Wire.GetName(message, ref at);
        var query = new ServerQuery(
            BinaryPrimitives.ReadUInt16BigEndian(message),
            name,
            BinaryPrimitives.ReadUInt16BigEndian(message.AsSpan(at)),
            overTcp,
            BinaryPrimitives.ReadUInt16BigEndian(message.AsSpan(10)) == 1,
            message);
        Queries.Enqueue(query);
        return _answer(query);
    }

    private async Task ServeUdpAsync()
    {
        byte[] buffer = new byte[65_536];
        while (true)
        {
            SocketReceiveFromResult got = await _udp.ReceiveFromAsync(buffer, SocketFlags.None, new IPEndPoint(IPAddress.Any, 0), _stopping.Token);
            foreach (byte[] datagram in Answer(buffer.AsSpan(0, got.ReceivedBytes).ToArray(), overTcp: false))
            {
                await _udp.SendToAsync(datagram, SocketFlags.None, got.RemoteEndPoint, _stopping.Token);
            }
        }
    }

    private async Task ServeTcpAsync()
    {
        byte[] buffer = new byte[65_536];
        while (true)
        {
            using Socket client = await _tcp.AcceptAsync(_stopping.Token);
            int have = 0;
            while (have < 2 || have < 2 + BinaryPrimitives.ReadUInt16BigEndian(buffer))
            {
                int count = await client.ReceiveAsync(buffer.AsMemory(have), SocketFlags.None, _stopping.Token);
                if (count == 0)
                {
                    break;
                }

                have += count;
            }

            foreach (byte[] message in Answer(buffer.AsSpan(2, have - 2).ToArray(), overTcp: true))
            {
                await client.SendAsync((byte[])[.. Wire.U16(message.Length), .. message], SocketFlags.None, _stopping.Token);
            }

            client.Shutdown(SocketShutdown.Send);
        }
    }
}
