using System.Buffers;
using System.IO.Pipelines;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Connections;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Json;

namespace OpenSandbox.Host.Protection;

/// <summary>
/// What a connection sends. All of it passes through untouched, but the answer to a request that the web server itself refuses: that one has
/// no body, which common clients read as success, and gets the body of every other error here. A client that takes nothing for a while is cut.
/// </summary>
/// <remarks>
/// The web server writes from one place at a time, and sets the refusal before it writes the answer to it. Its own limit is a rate over all
/// that has been sent: a client that stops in the middle of a large file would be waited for as long as the rest may take.
/// </remarks>
internal sealed class ConnectionOutput(ConnectionContext connection, PipeWriter inner) : PipeWriter
{
    /// <summary>For how long a client may take nothing while something is there for it.</summary>
    internal static readonly TimeSpan StallLimit = TimeSpan.FromSeconds(30);

    private const string EmptyBody = "\r\nContent-Length: 0\r\n";

    private volatile string? _refusal;
    private ArrayBufferWriter<byte>? _held;
    private bool _holding;

    /// <inheritdoc/>
    public override bool CanGetUnflushedBytes => inner.CanGetUnflushedBytes;

    /// <inheritdoc/>
    public override long UnflushedBytes => inner.UnflushedBytes + (_held?.WrittenCount ?? 0);

    /// <summary>What is written from now on is the answer to a request that was refused.</summary>
    /// <param name="reason">Why.</param>
    internal void Refuse(string reason) => _refusal = reason;

    /// <inheritdoc/>
    public override Memory<byte> GetMemory(int sizeHint = 0)
    {
        _holding = _refusal is not null;
        return _holding ? (_held ??= new ArrayBufferWriter<byte>(512)).GetMemory(sizeHint) : inner.GetMemory(sizeHint);
    }

    /// <inheritdoc/>
    public override Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

    /// <inheritdoc/>
    public override void Advance(int bytes)
    {
        if (_holding)
        {
            _held!.Advance(bytes);
        }
        else
        {
            inner.Advance(bytes);
        }
    }

    /// <inheritdoc/>
    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        Release();
        ValueTask<FlushResult> flush = inner.FlushAsync(cancellationToken);
        return flush.IsCompleted ? flush : FlushWithinAsync(flush.AsTask());
    }

    /// <inheritdoc/>
    public override void CancelPendingFlush() => inner.CancelPendingFlush();

    /// <inheritdoc/>
    public override void Complete(Exception? exception = null)
    {
        Release();
        inner.Complete(exception);
    }

    /// <inheritdoc/>
    public override ValueTask CompleteAsync(Exception? exception = null)
    {
        Release();
        return inner.CompleteAsync(exception);
    }

    private async ValueTask<FlushResult> FlushWithinAsync(Task<FlushResult> flush)
    {
        try
        {
            return await flush.WaitAsync(StallLimit).ConfigureAwait(false);
        }
        catch (TimeoutException) when (!flush.IsCompleted)
        {
            connection.Abort(new ConnectionAbortedException($"the client took nothing for {StallLimit.TotalSeconds} s"));
            return await flush.ConfigureAwait(false);
        }
    }

    private void Release()
    {
        if (_held is not { WrittenCount: > 0 } held)
        {
            return;
        }

        string head = Encoding.Latin1.GetString(held.WrittenSpan);
        int at = head.IndexOf(EmptyBody, StringComparison.Ordinal);
        if (at < 0 || !(head.StartsWith("HTTP/1.1 4", StringComparison.Ordinal) || head.StartsWith("HTTP/1.1 5", StringComparison.Ordinal)))
        {
            inner.Write(held.WrittenSpan);
        }
        else
        {
            byte[] body = JsonSerializer.SerializeToUtf8Bytes(new ErrorBody { Error = _refusal! }, HostJsonContext.Default.ErrorBody);
            string told = string.Create(
                System.Globalization.CultureInfo.InvariantCulture,
                $"{head[..at]}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {body.Length}\r\n{head[(at + EmptyBody.Length)..]}");
            inner.Write(Encoding.Latin1.GetBytes(told));
            inner.Write(body);
        }

        held.ResetWrittenCount();
    }
}
