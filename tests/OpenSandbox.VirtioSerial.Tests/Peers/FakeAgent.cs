using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;

namespace OpenSandbox.VirtioSerial.Tests;

/// <summary>
/// An agent that keeps all rules, over real sockets: sink, source, and a few commands. Commands: <c>hello</c> (one piece of each output),
/// <c>cat</c>, <c>hang</c> (until cancelled or signalled), <c>fail</c>, <c>exit</c> (without reading its input), <c>yes</c> (until cancelled).
/// </summary>
internal sealed class FakeAgent : IAsyncDisposable
{
    private const int SourcePattern = 251;

    private readonly AgentPeer _peer;
    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentDictionary<uint, FakeStream> _streams = new();
    private readonly List<Task> _loops = [];
    private int _cancels;

    private FakeAgent(AgentPeer peer) => _peer = peer;

    internal int OpenStreams => _streams.Count;

    internal int Cancels => Volatile.Read(ref _cancels);

    /// <summary>SHA-256 of what the last sink or write took.</summary>
    internal byte[]? LastSinkHash { get; private set; }

    /// <summary>Most bytes that the host had outstanding on one stream.</summary>
    internal long MostOutstanding { get; private set; }

    internal static async Task<(GuestChannel Channel, FakeAgent Agent)> StartAsync(GuestChannelOptions? options = null)
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenReadyAsync(options);
        var agent = new FakeAgent(peer);
        agent._loops.Add(agent.ControlLoopAsync());
        agent._loops.Add(agent.BulkLoopAsync());
        return (channel, agent);
    }

    /// <summary>Byte <paramref name="index"/> of what <c>source</c> sends.</summary>
    internal static byte SourceByte(long index) => (byte)(index % SourcePattern);

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _peer.DisposeAsync();
        await Task.WhenAll(_loops).Within();
        _stop.Dispose();
    }

    private async Task ControlLoopAsync()
    {
        try
        {
            while (await _peer.TryReceiveAsync(GuestPort.Control, _stop.Token) is { } frame)
            {
                if (frame.Type == FrameType.Ping)
                {
                    await _peer.SendAsync(GuestPort.Control, FrameType.Pong, 0, frame.Payload);
                }
                else if (frame.Type == FrameType.Quiesce)
                {
                    var reply = new QuiesceReply { Ok = _streams.IsEmpty, OpenStreams = _streams.Count };
                    await _peer.SendJsonAsync(GuestPort.Control, FrameType.Quiesced, 0, reply, ProtocolJsonContext.Default.QuiesceReply);
                }
                else
                {
                    Assert.Equal(FrameType.Open, frame.Type);
                    await _peer.SendTextAsync(GuestPort.Control, FrameType.Result, frame.StreamId, "{\"totalMicroseconds\":7}");
                }
            }
        }
        catch (Exception e) when (IsEnd(e))
        {
            // The test is over.
        }
    }

    private async Task BulkLoopAsync()
    {
        var handlers = new List<Task>();
        var request = new List<byte>();
        try
        {
            while (await _peer.TryReceiveAsync(GuestPort.Bulk, _stop.Token) is { } frame)
            {
                if (frame.Type == FrameType.Open)
                {
                    request.AddRange(frame.Payload);
                    if (frame.Flags == 0)
                    {
                        var whole = new ReceivedFrame(FrameType.Open, 0, frame.StreamId, [.. request]);
                        request.Clear();
                        var stream = new FakeStream(frame.StreamId);
                        Assert.True(_streams.TryAdd(frame.StreamId, stream));
                        handlers.Add(HandleAsync(stream, whole.Json(ProtocolJsonContext.Default.OpenRequest)));
                    }
                }
                else if (_streams.TryGetValue(frame.StreamId, out FakeStream? stream))
                {
                    OnFrame(stream, frame);
                }
            }
        }
        catch (Exception e) when (IsEnd(e))
        {
            // The test is over.
        }

        foreach (FakeStream stream in _streams.Values)
        {
            stream.Cancel();
        }

        await Task.WhenAll(handlers);
    }

    private void OnFrame(FakeStream stream, ReceivedFrame frame)
    {
        switch (frame.Type)
        {
            case FrameType.Data:
                MostOutstanding = Math.Max(MostOutstanding, stream.Received(frame.Payload));
                break;
            case FrameType.End:
                stream.EndInput();
                break;
            case FrameType.Credit:
                stream.Credited((int)BinaryPrimitives.ReadUInt32LittleEndian(frame.Payload));
                break;
            case FrameType.Cancel:
                Interlocked.Increment(ref _cancels);
                stream.Cancel();
                break;
            case FrameType.Signal:
                stream.Signal(frame.Json(ProtocolJsonContext.Default.SignalRequest).Signal);
                break;
            default:
                Assert.Fail($"The host sent {frame.Type} on a stream.");
                break;
        }
    }

    private async Task HandleAsync(FakeStream stream, OpenRequest request)
    {
        try
        {
            switch (request.Op)
            {
                case Operations.Sink:
                    await SinkAsync(stream);
                    break;
                case Operations.Source:
                    await SourceAsync(stream, request.Length ?? 0);
                    break;
                default:
                    await ExecAsync(stream, request.Exec!.Argv);
                    break;
            }
        }
        catch (OperationCanceledException)
        {
            await CloseAsync(stream, FrameType.Error, "{\"code\":\"cancelled\",\"message\":\"cancelled by the host\"}");
        }
        catch (Exception e) when (IsEnd(e))
        {
            _streams.TryRemove(stream.Id, out _);
        }
    }

    private async Task SinkAsync(FakeStream stream)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        long bytes = 0;
        await foreach (byte[] data in stream.Input.ReadAllAsync(stream.Cancelled))
        {
            hash.AppendData(data);
            bytes += data.Length;
            await ConsumedAsync(stream, data.Length);
        }

        LastSinkHash = hash.GetHashAndReset();
        await CloseAsync(stream, FrameType.Result, $"{{\"bytes\":{bytes}}}");
    }

    private async Task SourceAsync(FakeStream stream, long length)
    {
        var chunk = new byte[ProtocolConstants.MaxPayloadSize];
        for (long sent = 0; sent < length;)
        {
            int count = await stream.TakeCreditAsync((int)Math.Min(chunk.Length, length - sent));
            for (int i = 0; i < count; i++)
            {
                chunk[i] = SourceByte(sent + i);
            }

            await _peer.SendAsync(GuestPort.Bulk, FrameType.Data, stream.Id, chunk.AsMemory(0, count));
            sent += count;
        }

        await _peer.SendAsync(GuestPort.Bulk, FrameType.End, stream.Id, default);
        await CloseAsync(stream, FrameType.Result, $"{{\"bytes\":{length}}}");
    }

    private async Task ExecAsync(FakeStream stream, string[] argv)
    {
        if (argv[0] == "fail")
        {
            await CloseAsync(stream, FrameType.Error, "{\"code\":\"spawn_failed\",\"errno\":2,\"message\":\"no\\u001b such\\nprogram\"}");
            return;
        }

        await _peer.SendTextAsync(GuestPort.Bulk, FrameType.Started, stream.Id, "{\"pid\":42}");
        int? signal = null;
        switch (argv[0])
        {
            case "hello":
                await SendOutputAsync(stream, DataChannel.StandardOutput, "out");
                await SendOutputAsync(stream, DataChannel.StandardError, "err");
                break;
            case "cat":
                await foreach (byte[] data in stream.Input.ReadAllAsync(stream.Cancelled))
                {
                    await SendOutputAsync(stream, DataChannel.StandardOutput, data);
                    await ConsumedAsync(stream, data.Length);
                }

                break;
            case "hang":
                signal = await stream.SignalTask.WaitAsync(stream.Cancelled);
                break;
            case "yes":
                while (true)
                {
                    await SendOutputAsync(stream, DataChannel.StandardOutput, "y\n");
                }

            case "exit":
                break;
            default:
                Assert.Fail($"No such command: {argv[0]}");
                break;
        }

        await _peer.SendAsync(GuestPort.Bulk, FrameType.End, stream.Id, default);
        await CloseAsync(stream, FrameType.Result, signal is null ? "{\"exitCode\":0,\"wallMicroseconds\":5}" : $"{{\"signal\":{signal}}}");
    }

    private Task SendOutputAsync(FakeStream stream, DataChannel channel, string text) =>
        SendOutputAsync(stream, channel, Encoding.UTF8.GetBytes(text));

    private async Task SendOutputAsync(FakeStream stream, DataChannel channel, ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            int count = await stream.TakeCreditAsync(bytes.Length);
            await _peer.SendAsync(GuestPort.Bulk, FrameType.Data, stream.Id, bytes[..count], (byte)channel);
            bytes = bytes[count..];
        }
    }

    private Task ConsumedAsync(FakeStream stream, int count)
    {
        int credit = stream.Consumed(count);
        return credit > 0 ? _peer.SendCreditAsync(GuestPort.Bulk, stream.Id, (uint)credit) : Task.CompletedTask;
    }

    private async Task CloseAsync(FakeStream stream, FrameType type, string json)
    {
        _streams.TryRemove(stream.Id, out _);
        try
        {
            await _peer.SendTextAsync(GuestPort.Bulk, type, stream.Id, json);
        }
        catch (Exception e) when (IsEnd(e))
        {
            // The test is over.
        }
    }

    private static bool IsEnd(Exception e) => e is SocketException or ObjectDisposedException or IOException or OperationCanceledException;
}
