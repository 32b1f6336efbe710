using System.Net;
using System.Net.Sockets;

namespace OpenSandbox.Vmm;

/// <summary>One TCP connection that the gateway made for its guest.</summary>
/// <remarks>
/// One reader and one writer at a time, which may be different threads; <see cref="Abort"/> and <see cref="Dispose"/> from any. Holds no buffer
/// of its own: what is received goes straight into the caller's memory. Disposal gives the sandbox's place back.
/// </remarks>
internal sealed class EgressConnection : IDisposable
{
    private readonly Socket _socket;
    private readonly EgressGateway _gateway;
    private readonly CancellationTokenSource _ended = new();
    private int _end = -1;
    private int _disposed;

    internal EgressConnection(Socket socket, EgressGateway gateway, IPEndPoint target, string[] names)
    {
        _socket = socket;
        _gateway = gateway;
        Target = target;
        Names = names;
        // Taken now: the source may be disposed while somebody still asks.
        Ended = _ended.Token;
    }

    /// <summary>What it is connected to: exactly what the guest asked for.</summary>
    internal IPEndPoint Target { get; }

    /// <summary>The names that the address was told for when it was made.</summary>
    internal string[] Names { get; }

    /// <summary>Cancelled when this side gave the connection up: a new policy, <see cref="Abort"/> or disposal.</summary>
    internal CancellationToken Ended { get; }

    /// <summary>The bad end, once there was one.</summary>
    internal EgressConnectionEnd? End => Volatile.Read(ref _end) is >= 0 and int end ? (EgressConnectionEnd)end : null;

    /// <summary>Completes when there is something to receive, or the end: no memory need be held until then.</summary>
    /// <param name="cancellationToken">Stops waiting; the connection stays good.</param>
    /// <returns>When <see cref="ReceiveAsync"/> would complete at once.</returns>
    /// <exception cref="EgressConnectionException">The connection is gone.</exception>
    internal async ValueTask WaitToReceiveAsync(CancellationToken cancellationToken)
    {
        try
        {
            await _socket.ReceiveAsync(Memory<byte>.Empty, SocketFlags.None, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is SocketException or ObjectDisposedException)
        {
            throw Gone(failure);
        }
    }

    /// <summary>Receives what is there, waiting for the sandbox's bandwidth.</summary>
    /// <param name="buffer">Gets the bytes; not empty.</param>
    /// <param name="cancellationToken">Stops waiting. Bytes that were received and not yet paid for are lost, so cancel only to give up.</param>
    /// <returns>How many; 0: the remote side will send no more.</returns>
    /// <exception cref="EgressConnectionException">The connection is gone.</exception>
    internal async ValueTask<int> ReceiveAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfZero(buffer.Length);
        EgressBandwidth? bandwidth = _gateway.ReceiveBandwidth;
        if (bandwidth is not null && buffer.Length > bandwidth.Piece)
        {
            buffer = buffer[..bandwidth.Piece];
        }

        try
        {
            int count = await _socket.ReceiveAsync(buffer, SocketFlags.None, cancellationToken).ConfigureAwait(false);
            if (count > 0)
            {
                // Paid afterwards: what a quiet connection would hold in advance, the others could not use. TCP's own window holds the sender.
                if (bandwidth is not null)
                {
                    await PayAsync(bandwidth, count, cancellationToken).ConfigureAwait(false);
                }

                _gateway.Counters.Received(count);
            }

            return count;
        }
        catch (Exception failure) when (failure is SocketException or ObjectDisposedException)
        {
            throw Gone(failure);
        }
    }

    /// <summary>Sends all of it, waiting for the sandbox's bandwidth.</summary>
    /// <param name="data">The bytes.</param>
    /// <param name="cancellationToken">Stops; part may have been sent, so cancel only to give up.</param>
    /// <returns>When the kernel has taken everything.</returns>
    /// <exception cref="EgressConnectionException">The connection is gone.</exception>
    internal async ValueTask SendAsync(ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        EgressBandwidth? bandwidth = _gateway.SendBandwidth;
        try
        {
            while (!data.IsEmpty)
            {
                ReadOnlyMemory<byte> piece = data;
                if (bandwidth is not null)
                {
                    piece = data[..Math.Min(data.Length, bandwidth.Piece)];
                    await PayAsync(bandwidth, piece.Length, cancellationToken).ConfigureAwait(false);
                }

                int count = await _socket.SendAsync(piece, SocketFlags.None, cancellationToken).ConfigureAwait(false);
                _gateway.Counters.Sent(count);
                data = data[count..];
            }
        }
        catch (Exception failure) when (failure is SocketException or ObjectDisposedException)
        {
            throw Gone(failure);
        }
    }

    /// <summary>Tells the remote side that no more will be sent; receiving goes on.</summary>
    /// <exception cref="EgressConnectionException">The connection is gone.</exception>
    internal void ShutdownSend()
    {
        try
        {
            _socket.Shutdown(SocketShutdown.Send);
        }
        catch (Exception failure) when (failure is SocketException or ObjectDisposedException)
        {
            throw Gone(failure);
        }
    }

    /// <summary>Gives the connection up at once: the remote side gets a reset, as it would from a guest that resets.</summary>
    internal void Abort() => Close(EgressConnectionEnd.Aborted, reset: true);

    /// <summary>As <see cref="Abort"/>, because of a new policy.</summary>
    /// <returns>Whether it was still open.</returns>
    internal bool AbortForPolicy() => Close(EgressConnectionEnd.PolicyChanged, reset: true);

    /// <summary>Closes: in order if both sides had finished, else as the kernel closes a socket with data under way.</summary>
    public void Dispose() => Close(EgressConnectionEnd.Aborted, reset: false);

    private bool Close(EgressConnectionEnd end, bool reset)
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return false;
        }

        Interlocked.CompareExchange(ref _end, (int)end, -1);
        if (reset)
        {
            try
            {
                _socket.LingerState = new LingerOption(enable: true, seconds: 0);
            }
            catch (SocketException)
            {
                // The remote side was faster: there is nothing left to reset, and closing is all that remains.
            }
        }

        _socket.Dispose();
        _gateway.Release(this);
        _ended.Cancel();
        _ended.Dispose();
        return true;
    }

    private async ValueTask PayAsync(EgressBandwidth bandwidth, int bytes, CancellationToken cancellationToken)
    {
        try
        {
            await bandwidth.TakeAsync(bytes, Ended, cancellationToken).ConfigureAwait(false);
        }
        // A reset by policy does not wait behind the bandwidth.
        catch (OperationCanceledException) when (Ended.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            throw Gone(null);
        }
    }

    private EgressConnectionException Gone(Exception? failure)
    {
        if (failure is SocketException socket)
        {
            EgressConnectionEnd found = socket.SocketErrorCode is SocketError.ConnectionReset or SocketError.Shutdown
                ? EgressConnectionEnd.RemoteReset
                : EgressConnectionEnd.Failed;
            Interlocked.CompareExchange(ref _end, (int)found, -1);
        }

        EgressConnectionEnd end = End ?? EgressConnectionEnd.Aborted;
        return new EgressConnectionException(end, $"the connection to {Target} is gone: {end}", failure);
    }
}
