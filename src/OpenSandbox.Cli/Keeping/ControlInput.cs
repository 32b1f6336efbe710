using System.Threading.Channels;
using OpenSandbox.Cli.Control;

namespace OpenSandbox.Cli.Keeping;

/// <summary>
/// Bytes from the other side that nobody has taken yet. They are read from the connection as they come, so that its end, and whatever else
/// comes, is seen at once even while nobody takes them: how many there can be is bounded by the other side's credit.
/// </summary>
internal sealed class ControlInput(ControlConnection connection)
{
    private readonly Channel<byte[]> _pieces = Channel.CreateUnbounded<byte[]>(new UnboundedChannelOptions { SingleReader = true, SingleWriter = true });
    private int _untaken;

    /// <summary>Adds what came in a frame.</summary>
    /// <exception cref="ControlProtocolException">It is more than there was credit for, or came after the end.</exception>
    internal void Add(ReadOnlyMemory<byte> payload)
    {
        if (Interlocked.Add(ref _untaken, payload.Length) > ControlProtocol.Window)
        {
            throw new ControlProtocolException("more input came than there was credit for");
        }

        // Pieces of nothing would cost memory and no credit.
        if (!payload.IsEmpty && !_pieces.Writer.TryWrite(payload.ToArray()))
        {
            throw new ControlProtocolException("input came after its end");
        }
    }

    /// <summary>There will be no more.</summary>
    internal void Complete() => _pieces.Writer.TryComplete();

    /// <summary>Hands all of it on, giving credit for what has been taken.</summary>
    /// <param name="take">Takes a piece.</param>
    /// <param name="cancellationToken">Stops.</param>
    /// <returns>When there is no more.</returns>
    internal async Task DrainAsync(Func<byte[], Task> take, CancellationToken cancellationToken)
    {
        await foreach (byte[] piece in _pieces.Reader.ReadAllAsync(cancellationToken).ConfigureAwait(false))
        {
            await take(piece).ConfigureAwait(false);
            Interlocked.Add(ref _untaken, -piece.Length);
            await connection.SendAsync(ControlFrameKind.Credit, (uint)piece.Length, cancellationToken).ConfigureAwait(false);
        }
    }
}
