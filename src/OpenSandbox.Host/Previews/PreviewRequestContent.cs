using System.Buffers;
using System.Net;

namespace OpenSandbox.Host.Previews;

/// <summary>A request's body on its way to the sandbox, as it comes. The answer may begin before it has ended.</summary>
/// <param name="body">The body.</param>
/// <param name="length">Its length, where the client has said it.</param>
/// <param name="moved">Called whenever some of it has gone on.</param>
internal sealed class PreviewRequestContent(Stream body, long? length, Action moved) : HttpContent
{
    private const int BufferBytes = 64 << 10;

    /// <inheritdoc/>
    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => CopyAsync(stream, CancellationToken.None);

    /// <inheritdoc/>
    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken) =>
        CopyAsync(stream, cancellationToken);

    /// <inheritdoc/>
    protected override bool TryComputeLength(out long computed)
    {
        computed = length ?? 0;
        return length is not null;
    }

    private async Task CopyAsync(Stream to, CancellationToken cancellationToken)
    {
        // What is known of it goes first: a program may answer before the body comes.
        await to.FlushAsync(cancellationToken).ConfigureAwait(false);
        byte[] buffer = ArrayPool<byte>.Shared.Rent(BufferBytes);
        try
        {
            while (await body.ReadAsync(buffer, cancellationToken).ConfigureAwait(false) is int count and > 0)
            {
                await to.WriteAsync(buffer.AsMemory(0, count), cancellationToken).ConfigureAwait(false);
                await to.FlushAsync(cancellationToken).ConfigureAwait(false);
                moved();
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
