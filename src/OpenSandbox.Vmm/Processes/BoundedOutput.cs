using System.Net.Sockets;

namespace OpenSandbox.Vmm.Processes;

/// <summary>
/// Drains a child's output into a ring that keeps its end. An undrained pipe would let a guest stop its VMM, monitor included: QEMU
/// writes its messages with blocking writes.
/// </summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class BoundedOutput : IAsyncDisposable
{
    private const int ReadSize = 1024;
    private readonly Socket _socket;
    private readonly int _capacity;
    private readonly Lock _gate = new();
    private readonly Task _drain;
    private byte[] _ring = [];
    private long _total;

    /// <param name="socket">Our end; owned from here on.</param>
    /// <param name="capacity">Bytes that are kept. The ring grows to it only when there is output.</param>
    internal BoundedOutput(Socket socket, int capacity)
    {
        _socket = socket;
        _capacity = capacity;
        _drain = DrainAsync();
    }

    /// <summary>Completes when every holder of the other end is gone.</summary>
    internal Task Ended => _drain;

    /// <summary>The last output, as text; control characters other than line ends are replaced, since guests may have caused it.</summary>
    internal string Tail()
    {
        byte[] bytes;
        lock (_gate)
        {
            int length = (int)Math.Min(_total, _capacity);
            bytes = new byte[length];
            for (int i = 0; i < length; i++)
            {
                bytes[i] = _ring[(_total - length + i) % _capacity];
            }
        }

        return string.Create(bytes.Length, bytes, static (text, source) =>
        {
            for (int i = 0; i < source.Length; i++)
            {
                text[i] = source[i] is >= 32 and < 127 or (byte)'\n' or (byte)'\t' ? (char)source[i] : '.';
            }
        }).TrimEnd();
    }

    public async ValueTask DisposeAsync()
    {
        _socket.Dispose();
        await _drain.ConfigureAwait(false);
    }

    private async Task DrainAsync()
    {
        const int readsPerTurn = 64;

        // Small, because it is held as long as the child lives. Waiting for readability with an empty buffer instead may end with nothing
        // to read, and a synchronous receive would then block a pool thread.
        byte[] buffer = new byte[ReadSize];
        try
        {
            for (int reads = 1; ; reads++)
            {
                int count = await _socket.ReceiveAsync(buffer).ConfigureAwait(false);
                if (count == 0)
                {
                    return;
                }

                Append(buffer.AsSpan(0, count));
                if (reads % readsPerTurn == 0)
                {
                    // While bytes are waiting nothing above ever waits: a child that floods must not own a pool thread.
                    await Task.Yield();
                }
            }
        }
        catch (Exception ended) when (ended is SocketException or ObjectDisposedException)
        {
            // The child is gone, or we closed the socket: either way there is no more output.
            return;
        }
    }

    private void Append(ReadOnlySpan<byte> bytes)
    {
        lock (_gate)
        {
            if (_ring.Length == 0)
            {
                _ring = new byte[_capacity];
            }

            _total += Math.Max(0, bytes.Length - _capacity);
            bytes = bytes[Math.Max(0, bytes.Length - _capacity)..];
            int at = (int)(_total % _capacity);
            int first = Math.Min(bytes.Length, _capacity - at);
            bytes[..first].CopyTo(_ring.AsSpan(at));
            bytes[first..].CopyTo(_ring);
            _total += bytes.Length;
        }
    }
}
