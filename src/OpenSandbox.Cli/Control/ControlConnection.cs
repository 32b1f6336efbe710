using System.Buffers.Binary;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace OpenSandbox.Cli.Control;

/// <summary>Frames over a connected Unix socket, for both sides.</summary>
/// <remarks>One reader at a time; any number of writers, whose frames do not mix. Back-pressure is the socket's own.</remarks>
internal sealed class ControlConnection(Socket socket) : IDisposable
{
    private readonly SemaphoreSlim _writing = new(1, 1);
    private readonly byte[] _output = new byte[ControlProtocol.HeaderBytes + ControlProtocol.MaxDataBytes];
    private byte[] _input = new byte[ControlProtocol.HeaderBytes + ControlProtocol.MaxDataBytes];
    private int _start;
    private int _end;
    private bool _detached;

    /// <summary>Sends the preamble, and reads the other side's.</summary>
    /// <returns>The other side's version.</returns>
    /// <exception cref="ControlProtocolException">The other side is something else, or has closed the connection.</exception>
    internal async Task<byte> ExchangePreamblesAsync(CancellationToken cancellationToken)
    {
        try
        {
            await socket.SendAsync(ControlProtocol.Preamble.ToArray().AsMemory(), SocketFlags.None, cancellationToken).ConfigureAwait(false);
        }
        catch (SocketException gone)
        {
            throw new ControlProtocolException($"the keeper of the sandbox has closed the connection: {gone.Message}", gone);
        }

        if (!await FillAsync(ControlProtocol.PreambleBytes, cancellationToken).ConfigureAwait(false))
        {
            throw new ControlProtocolException("the keeper of the sandbox has closed the connection");
        }

        byte version = ControlProtocol.ReadVersion(_input.AsSpan(_start, ControlProtocol.PreambleBytes));
        _start += ControlProtocol.PreambleBytes;
        return version;
    }

    /// <summary>Reads the next frame.</summary>
    /// <returns>The frame, or one with <see cref="ControlFrame.IsEnd"/> when the other side has closed the connection.</returns>
    /// <exception cref="ControlProtocolException">The other side broke the protocol.</exception>
    internal async ValueTask<ControlFrame> ReadAsync(CancellationToken cancellationToken)
    {
        if (!await FillAsync(ControlProtocol.HeaderBytes, cancellationToken).ConfigureAwait(false))
        {
            return default;
        }

        (ControlFrameKind kind, int length) = ControlProtocol.ReadHeader(_input.AsSpan(_start));
        if (!await FillAsync(ControlProtocol.HeaderBytes + length, cancellationToken).ConfigureAwait(false))
        {
            return default;
        }

        ReadOnlyMemory<byte> payload = _input.AsMemory(_start + ControlProtocol.HeaderBytes, length);
        _start += ControlProtocol.HeaderBytes + length;
        return new ControlFrame(kind, payload);
    }

    /// <summary>Sends a JSON frame.</summary>
    internal Task SendAsync<T>(ControlFrameKind kind, T value, JsonTypeInfo<T> type, CancellationToken cancellationToken) =>
        SendAsync(kind, JsonSerializer.SerializeToUtf8Bytes(value, type), cancellationToken);

    /// <summary>Sends a frame of four bytes.</summary>
    internal Task SendAsync(ControlFrameKind kind, uint value, CancellationToken cancellationToken)
    {
        byte[] payload = new byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(payload, value);
        return SendAsync(kind, payload, cancellationToken);
    }

    /// <summary>Sends a frame.</summary>
    /// <exception cref="IOException">The payload is larger than its kind allows, or the other side has gone.</exception>
    internal async Task SendAsync(ControlFrameKind kind, ReadOnlyMemory<byte> payload, CancellationToken cancellationToken)
    {
        if (payload.Length > ControlProtocol.MaxPayload(kind))
        {
            throw new IOException($"{payload.Length} bytes do not fit into one message to the keeper of the sandbox");
        }

        await _writing.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            // One system call for a frame: header and payload together, where it is not a very large command.
            int total = ControlProtocol.HeaderBytes + payload.Length;
            byte[] buffer = total <= _output.Length ? _output : new byte[total];
            ControlProtocol.WriteHeader(buffer, kind, payload.Length);
            payload.Span.CopyTo(buffer.AsSpan(ControlProtocol.HeaderBytes));
            ReadOnlyMemory<byte> left = buffer.AsMemory(0, total);
            while (!left.IsEmpty)
            {
                left = left[await socket.SendAsync(left, SocketFlags.None, cancellationToken).ConfigureAwait(false)..];
            }
        }
        catch (SocketException gone)
        {
            throw new IOException($"the control socket cannot be written: {gone.Message}", gone);
        }
        finally
        {
            _writing.Release();
        }
    }

    /// <summary>Reads a payload that is JSON.</summary>
    /// <exception cref="ControlProtocolException">It is not.</exception>
    internal static T Parse<T>(ReadOnlyMemory<byte> payload, JsonTypeInfo<T> type)
        where T : class
    {
        try
        {
            return JsonSerializer.Deserialize(payload.Span, type) ?? throw new JsonException("null");
        }
        catch (JsonException malformed)
        {
            throw new ControlProtocolException($"the other side of the control socket sent a malformed message: {malformed.Message}", malformed);
        }
    }

    /// <summary>Reads a payload that is a number.</summary>
    /// <exception cref="ControlProtocolException">It is not.</exception>
    internal static uint ParseNumber(ReadOnlyMemory<byte> payload) => payload.Length == sizeof(uint)
        ? BinaryPrimitives.ReadUInt32LittleEndian(payload.Span)
        : throw new ControlProtocolException($"the other side of the control socket sent a number of {payload.Length} bytes");

    /// <summary>From now on disposing leaves the socket open.</summary>
    internal void Detach() => _detached = true;

    public void Dispose()
    {
        if (!_detached)
        {
            socket.Dispose();
            _writing.Dispose();
        }
    }

    /// <summary>Sees to it that so many bytes are buffered.</summary>
    /// <returns><see langword="false"/> at the end of the connection.</returns>
    private async ValueTask<bool> FillAsync(int count, CancellationToken cancellationToken)
    {
        while (_end - _start < count)
        {
            if (_start == _end)
            {
                _start = _end = 0;
            }

            if (_start + count > _input.Length)
            {
                byte[] target = count <= _input.Length ? _input : new byte[count];
                _input.AsSpan(_start, _end - _start).CopyTo(target);
                _input = target;
                _end -= _start;
                _start = 0;
            }

            int received;
            try
            {
                received = await socket.ReceiveAsync(_input.AsMemory(_end), SocketFlags.None, cancellationToken).ConfigureAwait(false);
            }
            catch (SocketException)
            {
                // Reset, because something that was sent was not read: the end of the connection, as any other.
                return false;
            }

            if (received == 0)
            {
                return false;
            }

            _end += received;
        }

        return true;
    }
}
