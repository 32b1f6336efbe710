using System.Text.Json.Serialization.Metadata;

namespace OpenSandbox.VirtioSerial;

/// <summary>
/// One request to the agent, and the data and answers that belong to it. Made by <see cref="GuestChannel.OpenStream"/>; dispose it always.
/// </summary>
/// <remarks>
/// <para>Thread-safe, with one call of each kind at a time: one read, one write, one wait for Started, one wait for the result; a second one
/// throws <see cref="InvalidOperationException"/>. Cancelling a call ends the wait only; the request goes on until it is
/// cancelled or disposed.</para>
/// <para>Every method throws <see cref="GuestChannelException"/> once the channel has died (with the first cause),
/// <see cref="GuestOperationException"/> where the agent answered with an error, and <see cref="ObjectDisposedException"/> after disposal;
/// calls under way at that moment throw it too.</para>
/// <para>At most <see cref="ProtocolConstants.CreditWindow"/> bytes of unread Data are kept. Whoever stops reading stops the agent on this
/// stream only.</para>
/// </remarks>
public sealed class GuestStream : IAsyncDisposable
{
    private readonly StreamCore _core;

    internal GuestStream(StreamCore core, uint id)
    {
        _core = core;
        Id = id;
    }

    /// <summary>Number of the stream on its port, from 1 upwards; for logs.</summary>
    public uint Id { get; }

    /// <summary>Whether the agent has ended the request: its result, or error, is there. Never after disposal.</summary>
    public bool IsEnded => _core.HasEnded(this);

    /// <summary>Waits until the request is under way.</summary>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The agent's reply head, or <see langword="null"/> when the request succeeded without one (stat, mkdir and the like).</returns>
    public ValueTask<StartedReply?> GetStartedAsync(CancellationToken cancellationToken = default) =>
        _core.GetStartedAsync(this, cancellationToken);

    /// <summary>Waits for Data and lends it out without copying.</summary>
    /// <param name="cancellationToken">Ends the wait; no Data is lost.</param>
    /// <returns>At least one byte of one channel, to be disposed before the next read; or <see cref="GuestData.IsEnd"/>.</returns>
    /// <remarks>
    /// A request that fails before the agent has sent everything throws <see cref="GuestOperationException"/> here, after the Data that came.
    /// After <see cref="CancelAsync"/> only what had come before can be read.
    /// </remarks>
    public ValueTask<GuestData> ReadAsync(CancellationToken cancellationToken = default) => _core.ReadAsync(this, cancellationToken);

    /// <summary>Waits for Data and copies it.</summary>
    /// <param name="buffer">Where to, at least one byte; not to be touched until the call has completed.</param>
    /// <param name="cancellationToken">Ends the wait; no Data is lost.</param>
    /// <returns>The channel and the number of bytes; 0 bytes when the agent sends no more Data.</returns>
    /// <remarks>Fails as <see cref="ReadAsync(CancellationToken)"/> does.</remarks>
    /// <exception cref="ArgumentException">The buffer is empty.</exception>
    public ValueTask<(DataChannel Channel, int Count)> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (buffer.IsEmpty)
        {
            throw new ArgumentException("The buffer is empty: 0 bytes read means the end.", nameof(buffer));
        }

        return _core.ReadAsync(this, buffer, cancellationToken);
    }

    /// <summary>Sends Data on <see cref="DataChannel.Content"/>, as the agent gives credit.</summary>
    /// <param name="bytes">Any number of bytes; not to be changed until the call has completed.</param>
    /// <param name="cancellationToken">Ends the wait. A part of the bytes may have been sent, so the stream is good for nothing but disposal.</param>
    /// <returns>
    /// Whether all bytes are on their way. <see langword="false"/>: the request has ended, or was cancelled, without taking them all, as a
    /// command may that does not read its input; see the result.
    /// </returns>
    /// <exception cref="InvalidOperationException">After <see cref="CompleteWritesAsync"/>.</exception>
    public ValueTask<bool> WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken = default) =>
        _core.WriteAsync(this, bytes, cancellationToken);

    /// <summary>Tells the agent that no more Data comes. Does nothing the second time, or when the request has ended.</summary>
    /// <param name="cancellationToken">Checked first; the call does not wait for the agent.</param>
    /// <returns>A completed task.</returns>
    /// <exception cref="InvalidOperationException">A write is under way.</exception>
    public ValueTask CompleteWritesAsync(CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        _core.CompleteWrites(this);
        return ValueTask.CompletedTask;
    }

    /// <summary>Sends a signal to the command of this stream.</summary>
    /// <param name="request">The signal.</param>
    /// <param name="cancellationToken">Checked first; the call does not wait for the agent.</param>
    /// <returns>Whether it is on its way: <see langword="false"/> when the request has ended or was cancelled.</returns>
    public ValueTask<bool> SignalAsync(SignalRequest request, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        cancellationToken.ThrowIfCancellationRequested();
        return ValueTask.FromResult(_core.Signal(this, request));
    }

    /// <summary>
    /// Asks the agent to stop and clean up. It still closes the stream with a result or an error, which can be waited for; Data that comes from
    /// now on is dropped. Does nothing the second time, or when the request has ended.
    /// </summary>
    /// <param name="cancellationToken">Checked first; the call does not wait for the agent.</param>
    /// <returns>A completed task.</returns>
    public ValueTask CancelAsync(CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        _core.Cancel(this);
        return ValueTask.CompletedTask;
    }

    /// <summary>Waits for the end of the request. All Data that the agent sent before can be read then, and after.</summary>
    /// <typeparam name="T">The result's type.</typeparam>
    /// <param name="typeInfo">Its JSON contract, from <see cref="ProtocolJsonContext"/>.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The result.</returns>
    /// <exception cref="GuestOperationException">The request failed.</exception>
    /// <exception cref="GuestProtocolException">The result has another shape; the channel is dead.</exception>
    public ValueTask<T> GetResultAsync<T>(JsonTypeInfo<T> typeInfo, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(typeInfo);
        return _core.GetResultAsync(this, typeInfo, cancellationToken);
    }

    /// <summary>
    /// Lets go of the stream. An unfinished request is cancelled, and whatever the agent still sends for it is dropped. Never waits and never
    /// throws; the second time does nothing.
    /// </summary>
    /// <returns>A completed task.</returns>
    public ValueTask DisposeAsync()
    {
        Abandon();
        return ValueTask.CompletedTask;
    }

    /// <summary>As <see cref="DisposeAsync"/>, for owners that are disposed synchronously.</summary>
    public void Abandon() => _core.Dispose(this);
}
