using System.Buffers;
using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;

namespace OpenSandbox.Vmm;

/// <summary>Asks upstream servers, with messages of our own making.</summary>
/// <remarks>
/// Each try has a random id and a socket of its own, hence a random port, connected to the server, so that the kernel drops what comes from
/// elsewhere. What does not answer exactly our question is not counted.
/// </remarks>
internal sealed class DnsUpstream(EgressGatewayOptions options)
{
    /// <summary>Times that all servers are asked.</summary>
    private const int Rounds = 2;

    /// <summary>Datagrams of one server that may be wrong before it is given up: somebody is guessing.</summary>
    private const int MaxStrays = 16;

    private readonly DnsServers _servers = new(options.DnsServers, options.ResolvConfPath);

    /// <summary>Asks until a server has an answer.</summary>
    /// <param name="question">What to ask; not the guest's bytes.</param>
    /// <param name="cancellationToken">Stops.</param>
    /// <returns>An answer with records, without any, or that the name does not exist; <see langword="null"/>: no server had one in time.</returns>
    internal async Task<DnsReply?> AskAsync(DnsQuestion question, CancellationToken cancellationToken)
    {
        IPEndPoint[] servers = _servers.Current;
        using var deadline = new NetworkDeadline(options.DnsTimeout, options.TimeProvider, cancellationToken);
        try
        {
            for (int round = 0; round < Rounds; round++)
            {
                foreach (IPEndPoint server in servers)
                {
                    DnsReply? reply = await AskServerAsync(server, question, deadline.Token).ConfigureAwait(false);
                    if (reply is { Code: DnsResponseCode.NoError or DnsResponseCode.NameError })
                    {
                        return reply;
                    }
                }
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            // The deadline of all servers together.
        }

        return null;
    }

    private async Task<DnsReply?> AskServerAsync(IPEndPoint server, DnsQuestion question, CancellationToken cancellationToken)
    {
        DnsReply? reply = await TryAsync(server, question, edns: true, overTcp: false, cancellationToken).ConfigureAwait(false);
        bool edns = true;
        if (reply is { Code: DnsResponseCode.FormatError or DnsResponseCode.NotImplemented })
        {
            // A server from before EDNS, RFC 6891 section 7.
            edns = false;
            reply = await TryAsync(server, question, edns, overTcp: false, cancellationToken).ConfigureAwait(false);
        }

        return reply is { Truncated: true }
            ? await TryAsync(server, question, edns, overTcp: true, cancellationToken).ConfigureAwait(false)
            : reply;
    }

    private async Task<DnsReply?> TryAsync(IPEndPoint server, DnsQuestion question, bool edns, bool overTcp, CancellationToken cancellationToken)
    {
        ushort id = (ushort)RandomNumberGenerator.GetInt32(0x1_0000);
        byte[] query = DnsMessage.Query(id, question, edns);
        using var deadline = new NetworkDeadline(options.DnsTryTimeout, options.TimeProvider, cancellationToken);
        try
        {
            return overTcp
                ? await OverTcpAsync(server, query, id, question, deadline.Token).ConfigureAwait(false)
                : await OverUdpAsync(server, query, id, question, deadline.Token).ConfigureAwait(false);
        }
        catch (SocketException)
        {
            // Nobody listens there, or there is no way to it: the next server.
            return null;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return null;
        }
    }

    private static async Task<DnsReply?> OverUdpAsync(
        IPEndPoint server, byte[] query, ushort id, DnsQuestion question, CancellationToken cancellationToken)
    {
        using var socket = new Socket(server.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        await socket.ConnectAsync(server, cancellationToken).ConfigureAwait(false);
        await socket.SendAsync(query, SocketFlags.None, cancellationToken).ConfigureAwait(false);
        byte[] buffer = ArrayPool<byte>.Shared.Rent(DnsQuery.MaxUdpSize);
        try
        {
            for (int strays = 0; strays < MaxStrays; strays++)
            {
                int length = await socket.ReceiveAsync(buffer, SocketFlags.None, cancellationToken).ConfigureAwait(false);
                if (DnsReply.Answers(buffer.AsSpan(0, length), id, question))
                {
                    return DnsReply.Read(buffer.AsSpan(0, length), id, question);
                }
            }

            return null;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static async Task<DnsReply?> OverTcpAsync(
        IPEndPoint server, byte[] query, ushort id, DnsQuestion question, CancellationToken cancellationToken)
    {
        using var socket = new Socket(server.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(server, cancellationToken).ConfigureAwait(false);
        byte[] framed = new byte[2 + query.Length];
        BinaryPrimitives.WriteUInt16BigEndian(framed, (ushort)query.Length);
        query.CopyTo(framed, 2);
        for (int sent = 0; sent < framed.Length;)
        {
            sent += await socket.SendAsync(framed.AsMemory(sent), SocketFlags.None, cancellationToken).ConfigureAwait(false);
        }

        byte[] head = new byte[2];
        if (!await TryFillAsync(socket, head, cancellationToken).ConfigureAwait(false))
        {
            return null;
        }

        int length = BinaryPrimitives.ReadUInt16BigEndian(head);
        byte[] buffer = ArrayPool<byte>.Shared.Rent(Math.Max(length, 1));
        try
        {
            if (!await TryFillAsync(socket, buffer.AsMemory(0, length), cancellationToken).ConfigureAwait(false))
            {
                return null;
            }

            DnsReply? reply = DnsReply.Read(buffer.AsSpan(0, length), id, question);
            // Truncated over TCP has no meaning.
            return reply is { Truncated: true } ? null : reply;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static async Task<bool> TryFillAsync(Socket socket, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        while (!buffer.IsEmpty)
        {
            int count = await socket.ReceiveAsync(buffer, SocketFlags.None, cancellationToken).ConfigureAwait(false);
            if (count == 0)
            {
                return false;
            }

            buffer = buffer[count..];
        }

        return true;
    }
}
