using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Vmm;

/// <summary>A TCP connection to a port inside the guest, made by <see cref="Sandbox.ConnectAsync"/>.</summary>
/// <remarks>
/// One reader and one writer at a time, which may be different threads. Asynchronous only. Reading returns 0 bytes when the guest's program
/// has sent its end; <see cref="CompleteWritesAsync"/> sends ours and leaves the other direction open. Disposing it before both ends resets
/// the connection.
/// </remarks>
public sealed class SandboxPortStream : Stream
{
    private readonly Sandbox _sandbox;
    private readonly GuestStream _stream;
    private readonly int _port;

    internal SandboxPortStream(Sandbox sandbox, GuestStream stream, int port)
    {
        _sandbox = sandbox;
        _stream = stream;
        _port = port;
    }

    /// <inheritdoc/>
    public override bool CanRead => true;

    /// <inheritdoc/>
    public override bool CanSeek => false;

    /// <inheritdoc/>
    public override bool CanWrite => true;

    /// <inheritdoc/>
    public override long Length => throw new NotSupportedException();

    /// <inheritdoc/>
    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <summary>Tells the guest's program that no more bytes come; reading goes on.</summary>
    /// <param name="cancellationToken">Checked first; the call does not wait.</param>
    /// <returns>A completed task.</returns>
    public ValueTask CompleteWritesAsync(CancellationToken cancellationToken = default) => _stream.CompleteWritesAsync(cancellationToken);

    /// <inheritdoc/>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (buffer.IsEmpty)
        {
            return 0;
        }

        try
        {
            int count = (await _stream.ReadAsync(buffer, cancellationToken).ConfigureAwait(false)).Count;
            _sandbox.Touch();
            return count;
        }
        catch (Exception failure) when (GuestErrors.Concerns(failure))
        {
            throw await DescribeAsync("reading from", failure).ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    /// <inheritdoc/>
    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        try
        {
            if (!await _stream.WriteAsync(buffer, cancellationToken).ConfigureAwait(false))
            {
                throw new IOException($"sandbox {_sandbox.Id}: the program at port {_port} has closed the connection");
            }

            _sandbox.Touch();
        }
        catch (Exception failure) when (GuestErrors.Concerns(failure))
        {
            throw await DescribeAsync("writing to", failure).ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    /// <summary>Does nothing: bytes leave as they are written.</summary>
    public override void Flush()
    {
    }

    /// <summary>Does nothing: bytes leave as they are written.</summary>
    /// <param name="cancellationToken">Not used.</param>
    /// <returns>A completed task.</returns>
    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Not supported: blocking reads would hold a thread for as long as the guest likes.</summary>
    /// <param name="buffer">Not used.</param>
    /// <param name="offset">Not used.</param>
    /// <param name="count">Not used.</param>
    /// <returns>Nothing.</returns>
    /// <exception cref="NotSupportedException">Always.</exception>
    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException("use ReadAsync");

    /// <summary>Not supported: blocking writes would hold a thread for as long as the guest likes.</summary>
    /// <param name="buffer">Not used.</param>
    /// <param name="offset">Not used.</param>
    /// <param name="count">Not used.</param>
    /// <exception cref="NotSupportedException">Always.</exception>
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException("use WriteAsync");

    /// <inheritdoc/>
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void SetLength(long value) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override async ValueTask DisposeAsync()
    {
        await _stream.DisposeAsync().ConfigureAwait(false);
        await base.DisposeAsync().ConfigureAwait(false);
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _stream.Abandon();
        }

        base.Dispose(disposing);
    }

    private async ValueTask<IOException> DescribeAsync(string what, Exception failure)
    {
        SandboxException reason = await GuestErrors.TranslateAsync(_sandbox, $"{what} port {_port}", failure).ConfigureAwait(false);
        return new IOException(reason.Message, reason);
    }
}
