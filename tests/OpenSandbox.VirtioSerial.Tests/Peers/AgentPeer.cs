using System.Buffers;
using System.Buffers.Binary;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace OpenSandbox.VirtioSerial.Tests;

/// <summary>A frame as the host sent it.</summary>
internal sealed record ReceivedFrame(FrameType Type, byte Flags, uint StreamId, byte[] Payload)
{
    internal T Json<T>(JsonTypeInfo<T> typeInfo) => JsonSerializer.Deserialize(Payload, typeInfo)!;
}

/// <summary>The guest's end of all sockets, frame by frame: what a test sends here is what the guest sends, right or wrong.</summary>
internal sealed class AgentPeer : IAsyncDisposable
{
    private readonly Socket[] _sockets;
    private readonly PipeReader[] _inputs;
    private readonly SemaphoreSlim[] _sendLocks = [new(1), new(1), new(1)];

    internal AgentPeer(Socket control, Socket bulk, ulong epoch)
        : this([control, bulk], epoch)
    {
    }

    internal AgentPeer(Socket[] sockets, ulong epoch)
    {
        _sockets = sockets;
        _inputs = [.. sockets.Select(Reader)];
        Epoch = epoch;
    }

    internal ulong Epoch { get; }

    internal uint Tag => (uint)Epoch;

    /// <summary>A channel and its peer, the session not yet answered.</summary>
    internal static (GuestChannel Channel, AgentPeer Peer) Open(GuestChannelOptions? options = null)
    {
        options ??= new GuestChannelOptions { Epoch = 0x1122_3344_5566_7788 };
        (Socket controlHost, Socket controlGuest) = SocketPairs.Create();
        (Socket bulkHost, Socket bulkGuest) = SocketPairs.Create();
        return (GuestChannel.Open(controlHost, bulkHost, options), new AgentPeer(controlGuest, bulkGuest, options.Epoch));
    }

    /// <summary>A channel and its peer, Hello said and Welcome taken.</summary>
    internal static async Task<(GuestChannel Channel, AgentPeer Peer)> OpenReadyAsync(GuestChannelOptions? options = null)
    {
        (GuestChannel channel, AgentPeer peer) = Open(options);
        await peer.HandshakeAsync();
        await channel.WaitForHelloAsync().Within();
        return (channel, peer);
    }

    /// <summary>As <see cref="OpenReadyAsync"/>, with a network port whose preamble has been answered, too.</summary>
    internal static async Task<(GuestChannel Channel, AgentPeer Peer)> OpenNetworkAsync()
    {
        var options = new GuestChannelOptions { Epoch = 0x1122_3344_5566_7788 };
        (Socket Host, Socket Guest)[] pairs = [SocketPairs.Create(), SocketPairs.Create(), SocketPairs.Create()];
        GuestChannel channel = GuestChannel.Open(pairs[0].Host, pairs[1].Host, pairs[2].Host, options);
        var peer = new AgentPeer([.. pairs.Select(static pair => pair.Guest)], options.Epoch);
        await peer.HandshakeAsync();
        await peer.ReceivePreambleAsync(GuestPort.Network);
        await peer.SendPreambleAsync(GuestPort.Network);
        await channel.WaitForHelloAsync().Within();
        return (channel, peer);
    }

    internal Socket Socket(GuestPort port) => _sockets[(int)port];

    /// <summary>Takes the host's preambles and Welcome, answers with preambles and Hello.</summary>
    internal async Task HandshakeAsync()
    {
        await ReceivePreambleAsync(GuestPort.Control);
        await ReceivePreambleAsync(GuestPort.Bulk);
        ReceivedFrame welcome = await ReceiveAsync(GuestPort.Control);
        Assert.Equal(FrameType.Welcome, welcome.Type);
        await SendPreambleAsync(GuestPort.Control);
        await SendPreambleAsync(GuestPort.Bulk);
        await SendHelloAsync();
    }

    internal async Task<Preamble> ReceivePreambleAsync(GuestPort port)
    {
        using var limit = new CancellationTokenSource(Deadline.Limit);
        PipeReader input = _inputs[(int)port];
        while (true)
        {
            ReadResult result = await input.ReadAsync(limit.Token);
            ReadOnlySequence<byte> buffer = result.Buffer;
            bool found = Preamble.TryFind(ref buffer, null, out Preamble preamble);
            input.AdvanceTo(buffer.Start, found ? buffer.Start : buffer.End);
            if (found)
            {
                return preamble;
            }

            Assert.False(result.IsCompleted, "The host closed the port ahead of its preamble.");
        }
    }

    /// <summary>The next frame, or null once the host has closed the port.</summary>
    internal async Task<ReceivedFrame?> TryReceiveAsync(GuestPort port, CancellationToken cancellationToken)
    {
        PipeReader input = _inputs[(int)port];
        while (true)
        {
            ReadResult result = await input.ReadAsync(cancellationToken);
            ReadOnlySequence<byte> buffer = result.Buffer;
            FrameReadStatus status = FrameReader.TryRead(
                ref buffer, Tag, out FrameHeader header, out ReadOnlySequence<byte> payload, out FrameError error);
            Assert.NotEqual(FrameReadStatus.Invalid, status);
            Assert.Equal(FrameError.None, error);
            ReceivedFrame? frame = status == FrameReadStatus.Frame
                ? new ReceivedFrame(header.Type, header.Flags, header.StreamId, payload.ToArray())
                : null;
            input.AdvanceTo(buffer.Start, frame is null ? buffer.End : buffer.Start);
            if (frame is not null || result.IsCompleted)
            {
                return frame;
            }
        }
    }

    internal async Task<ReceivedFrame> ReceiveAsync(GuestPort port)
    {
        using var limit = new CancellationTokenSource(Deadline.Limit);
        ReceivedFrame? frame = await TryReceiveAsync(port, limit.Token);
        Assert.NotNull(frame);
        return frame;
    }

    internal Task SendPreambleAsync(GuestPort port, ulong? epoch = null, ushort generation = ProtocolConstants.Generation)
    {
        var bytes = new byte[ProtocolConstants.PreambleSize];
        new Preamble(epoch ?? Epoch, generation).Write(bytes);
        return SendRawAsync(port, bytes);
    }

    internal Task SendHelloAsync(int generation = ProtocolConstants.Generation) =>
        SendJsonAsync(GuestPort.Control, FrameType.Hello, 0, new AgentHello { Generation = generation, AgentVersion = "test" }, ProtocolJsonContext.Default.AgentHello);

    internal Task SendJsonAsync<T>(GuestPort port, FrameType type, uint streamId, T value, JsonTypeInfo<T> typeInfo) =>
        SendAsync(port, type, streamId, JsonSerializer.SerializeToUtf8Bytes(value, typeInfo));

    internal Task SendTextAsync(GuestPort port, FrameType type, uint streamId, string text, byte flags = 0) =>
        SendAsync(port, type, streamId, Encoding.UTF8.GetBytes(text), flags);

    internal Task SendCreditAsync(GuestPort port, uint streamId, uint credit)
    {
        var bytes = new byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, credit);
        return SendAsync(port, FrameType.Credit, streamId, bytes);
    }

    /// <summary>Sends exactly as much Data as a stream may have outstanding.</summary>
    internal async Task SendWindowAsync(uint streamId)
    {
        for (int left = ProtocolConstants.CreditWindow; left > 0;)
        {
            int count = Math.Min(left, ProtocolConstants.MaxPayloadSize);
            await SendAsync(GuestPort.Bulk, FrameType.Data, streamId, new byte[count]);
            left -= count;
        }
    }

    internal Task SendAsync(GuestPort port, FrameType type, uint streamId, ReadOnlyMemory<byte> payload, byte flags = 0) =>
        SendRawAsync(port, Frame(type, streamId, payload.Span, flags));

    internal byte[] Frame(FrameType type, uint streamId, ReadOnlySpan<byte> payload, byte flags = 0)
    {
        var output = new ArrayBufferWriter<byte>();
        FrameWriter.Write(output, type, flags, streamId, Tag, payload);
        return output.WrittenSpan.ToArray();
    }

    /// <summary>Sends any bytes, whole, one caller at a time.</summary>
    internal async Task SendRawAsync(GuestPort port, ReadOnlyMemory<byte> bytes)
    {
        using var limit = new CancellationTokenSource(Deadline.Limit);
        await _sendLocks[(int)port].WaitAsync(limit.Token);
        try
        {
            while (!bytes.IsEmpty)
            {
                bytes = bytes[await _sockets[(int)port].SendAsync(bytes, SocketFlags.None, limit.Token)..];
            }
        }
        finally
        {
            _sendLocks[(int)port].Release();
        }
    }

    public ValueTask DisposeAsync()
    {
        foreach (Socket socket in _sockets)
        {
            socket.Dispose();
        }

        return ValueTask.CompletedTask;
    }

    private static PipeReader Reader(Socket socket) => PipeReader.Create(new NetworkStream(socket), new StreamPipeReaderOptions(bufferSize: 65_536));
}
