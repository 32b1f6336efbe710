using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;

namespace OpenSandbox.VirtioSerial;

/// <summary>One port of a channel: its socket, its reader loop, its writer and its streams.</summary>
internal sealed partial class PortSession
{
    private const int ReceiveBufferSize = 65_536;
    private const int MinReceiveSize = 4_096;
    private const int MaxSpareCores = 32;

    /// <summary>Reads in a row that found bytes waiting, before other work on the thread pool gets its turn.</summary>
    private const int MaxReadsInARow = 64;

    private readonly GuestChannel _channel;
    private readonly GuestChannelOptions _options;
    private readonly Preamble _preamble;
    private readonly Socket _socket;
    private readonly PipeReader _input;
    private readonly Lock _streamsLock = new();
    private readonly Dictionary<uint, StreamCore> _streams = [];
    private readonly Lock _spareLock = new();
    private readonly Stack<StreamCore> _spare = new();
    private Task _readLoop = Task.CompletedTask;
    private uint _nextId = 1;
    private long _dropped;
    private bool _established;
    private int _strays;

    internal PortSession(GuestChannel channel, GuestPort port, Socket socket, GuestChannelOptions options)
    {
        _channel = channel;
        _options = options;
        _preamble = new Preamble(options.Epoch, (ushort)options.AgreedGeneration);
        _socket = socket;
        Port = port;

        // One hop from the socket to the parser. Reads of zero bytes first: an idle channel holds no buffer.
        _input = PipeReader.Create(
            new NetworkStream(socket, ownsSocket: false),
            new StreamPipeReaderOptions(bufferSize: ReceiveBufferSize, minimumReadSize: MinReceiveSize, useZeroByteReads: true));
        socket.Blocking = false; // A NetworkStream wants a blocking socket at birth; only direct sends depend on it.
        Writer = new PortWriter(socket, _preamble.SessionTag, OnSendFailed);
    }

    /// <summary>Which port this is.</summary>
    internal GuestPort Port { get; }

    /// <summary>The sending half.</summary>
    internal PortWriter Writer { get; }

    /// <summary>Streams that the agent has not closed yet, those of disposed <see cref="GuestStream"/>s included.</summary>
    internal int OpenStreams
    {
        get
        {
            lock (_streamsLock)
            {
                return _streams.Count;
            }
        }
    }

    /// <summary>Queues the padding, if any, and the preamble.</summary>
    internal void AppendPreamble()
    {
        Span<byte> bytes = stackalloc byte[ProtocolConstants.PreambleSize];
        if (_options.Reconnect)
        {
            bytes.Clear();
            for (int sent = 0; sent < ProtocolConstants.ReconnectPaddingSize; sent += bytes.Length)
            {
                Writer.AppendRaw(bytes);
            }
        }

        _preamble.Write(bytes);
        Writer.AppendRaw(bytes);
    }

    /// <summary>Starts to read.</summary>
    internal void Start() => _readLoop = ReadLoopAsync();

    /// <summary>Opens a stream; see <see cref="GuestChannel.OpenStream"/>.</summary>
    internal GuestStream Open(OpenRequest request)
    {
        GuestStream handle;
        using (JsonPayloadBuffer json = JsonPayloadBuffer.Write(
            request, ProtocolJsonContext.Default.OpenRequest, ProtocolConstants.MaxRequestSize))
        {
            // The lock covers the frames too: the agent sees the ids in ascending order.
            lock (_streamsLock)
            {
                _channel.ThrowIfFailed();
                if (_streams.Count >= _options.MaxStreams)
                {
                    throw new GuestOperationException(
                        request.Op, AgentErrorCodes.LimitReached, 0, $"{_streams.Count} streams are open on the {Port} port; that is the channel's limit.");
                }

                if (_nextId >= ProtocolConstants.FirstAgentStreamId)
                {
                    throw new GuestChannelException(
                        $"All stream ids of the {Port} port have been used; a new session begins at 1 again.");
                }

                uint id = _nextId++;
                StreamCore core = TakeSpare() ?? new StreamCore(this);
                handle = new GuestStream(core, id);
                core.Begin(handle, id, request.Op);
                _streams.Add(id, core);
                AppendOpen(id, json.Written);
            }
        }

        Writer.Flush();
        return handle;
    }

    /// <summary>Keeps the state of a stream for another one.</summary>
    internal void Recycle(StreamCore core)
    {
        lock (_spareLock)
        {
            if (_spare.Count < MaxSpareCores)
            {
                _spare.Push(core);
            }
        }
    }

    /// <summary>Ends the channel, from a stream that found the guest breaking the rules.</summary>
    internal void Fail(GuestChannelException cause) => _channel.Fail(cause);

    /// <summary>Closes the socket and fails all streams.</summary>
    /// <returns>When no code of the port runs any more.</returns>
    internal Task CloseAsync(GuestChannelException cause)
    {
        _socket.Dispose();
        Task pump = Writer.Close();
        StreamCore[] streams;
        lock (_streamsLock)
        {
            streams = [.. _streams.Values];
            _streams.Clear();
        }

        foreach (StreamCore stream in streams)
        {
            stream.Fail(cause);
        }

        return Task.WhenAll(_readLoop, pump);
    }

    private static bool IsConnectionLoss(Exception e) =>
        e is SocketException or IOException or ObjectDisposedException or OperationCanceledException;

    private void OnSendFailed(Exception e) => _channel.Fail(Lost(e));

    private GuestChannelException Lost(Exception e) => new($"The connection of the {Port} port was lost: {e.Message}", e);

    private void AppendOpen(uint id, ReadOnlySpan<byte> json)
    {
        while (json.Length > ProtocolConstants.MaxPayloadSize)
        {
            Writer.Append(FrameType.Open, ProtocolConstants.ContinuedFlag, id, json[..ProtocolConstants.MaxPayloadSize]);
            json = json[ProtocolConstants.MaxPayloadSize..];
        }

        Writer.Append(FrameType.Open, 0, id, json);
    }

    private StreamCore? TakeSpare()
    {
        lock (_spareLock)
        {
            return _spare.TryPop(out StreamCore? core) ? core : null;
        }
    }

    private async Task ReadLoopAsync()
    {
        // The first bytes may be here already; parsing them is not the opener's work.
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        try
        {
            int readsInARow = 0;
            while (true)
            {
                ValueTask<ReadResult> read = _input.ReadAsync();
                if (!read.IsCompleted)
                {
                    readsInARow = 0;
                }
                else if (++readsInARow == MaxReadsInARow)
                {
                    readsInARow = 0;
                    await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
                }

                ReadResult result = await read.ConfigureAwait(false);
                ReadOnlySequence<byte> buffer = result.Buffer;
                Process(ref buffer);
                _input.AdvanceTo(buffer.Start, buffer.End);
                if (result.IsCompleted)
                {
                    throw new GuestChannelException($"The other end closed the connection of the {Port} port.");
                }
            }
        }
        catch (GuestChannelException e)
        {
            _channel.Fail(e);
        }
        catch (Exception e) when (IsConnectionLoss(e))
        {
            _channel.Fail(Lost(e));
        }
        catch (Exception e)
        {
            // The boundary of the loop: a defect here must not leave callers waiting for ever.
            _channel.Fail(new GuestChannelException($"The reader of the {Port} port failed: {e.Message}", e));
        }

        await _input.CompleteAsync().ConfigureAwait(false);
    }

    private void Process(ref ReadOnlySequence<byte> buffer)
    {
        if (!_established && !FindPreamble(ref buffer))
        {
            return;
        }

        while (true)
        {
            switch (FrameReader.TryRead(ref buffer, _preamble.SessionTag, out FrameHeader header, out ReadOnlySequence<byte> payload, out FrameError error))
            {
                case FrameReadStatus.Frame:
                    Dispatch(header, payload);
                    break;
                case FrameReadStatus.NeedMoreData:
                    return;
                default:
                    throw new GuestProtocolException(ProtocolViolation.MalformedFrame, $"A malformed frame on the {Port} port: {error}.");
            }
        }
    }

    private bool FindPreamble(ref ReadOnlySequence<byte> buffer)
    {
        long length = buffer.Length;
        bool found = Preamble.TryFind(ref buffer, _preamble.Epoch, out Preamble answer);
        _dropped += length - buffer.Length - (found ? ProtocolConstants.PreambleSize : 0);
        if (_dropped > _options.MaxDroppedBytes)
        {
            throw new GuestProtocolException(
                ProtocolViolation.NoPreamble, $"{_dropped} bytes on the {Port} port, and no answer to the preamble among them.");
        }

        if (found)
        {
            _established = true;
            _channel.OnPreamble(Port, answer);
        }

        return found;
    }

    private void Dispatch(in FrameHeader header, in ReadOnlySequence<byte> payload)
    {
        if (header.StreamId == 0)
        {
            _channel.OnSessionFrame(Port, header.Type, payload);
            return;
        }

        if (header.StreamId >= ProtocolConstants.FirstAgentStreamId)
        {
            DispatchToAccepted(header, payload);
            return;
        }

        if (header.Type is not (FrameType.Started or FrameType.Data or FrameType.Credit or FrameType.End or FrameType.Result or FrameType.Error))
        {
            throw new GuestProtocolException(ProtocolViolation.WrongDirection, $"The guest sent {header.Type}, which only the host may send.");
        }

        if (Port == GuestPort.Control)
        {
            _channel.RequireHello(header.Type);
        }

        if (Find(header) is not { } stream)
        {
            return;
        }

        switch (header.Type)
        {
            case FrameType.Started:
                stream.OnStarted(payload);
                break;
            case FrameType.Data:
                stream.OnData((DataChannel)header.Flags, payload);
                break;
            case FrameType.Credit:
                stream.OnCredit(payload);
                break;
            case FrameType.End:
                stream.OnEnd();
                break;
            default:
                Close(stream, header.Type, payload);
                break;
        }
    }

    private void Close(StreamCore stream, FrameType type, in ReadOnlySequence<byte> payload)
    {
        try
        {
            stream.OnClosed(type, payload);
        }
        catch (GuestProtocolException e)
        {
            // The table does not know the stream any more, so the channel's end would pass it by.
            _channel.Fail(e);
            stream.Fail(_channel.Failure ?? e);
            throw;
        }
    }

    /// <summary>The stream of a frame; forgotten here with its last one. None, counted, when it has ended.</summary>
    private StreamCore? Find(in FrameHeader header)
    {
        lock (_streamsLock)
        {
            if (header.Type is FrameType.Result or FrameType.Error)
            {
                if (_streams.Remove(header.StreamId, out StreamCore? closed))
                {
                    // Each stream that ends pays for one stray: a race that an honest agent loses now and then must not add up over weeks.
                    _strays = Math.Max(_strays - 1, 0);
                    return closed;
                }
            }
            else if (_streams.TryGetValue(header.StreamId, out StreamCore? open))
            {
                return open;
            }

            if (header.StreamId >= _nextId)
            {
                throw new GuestProtocolException(
                    ProtocolViolation.UnknownStream, $"{header.Type} for stream {header.StreamId} of the {Port} port, which was never opened.");
            }
        }

        _channel.CountStrayFrame();
        if (++_strays > _options.MaxStrayFrames)
        {
            throw new GuestProtocolException(
                ProtocolViolation.TooManyStrayFrames,
                $"Too many frames on the {Port} port for streams that had ended, the last one {header.Type} for stream {header.StreamId}.");
        }

        return null;
    }
}
