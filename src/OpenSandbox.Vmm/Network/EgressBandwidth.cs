namespace OpenSandbox.Vmm;

/// <summary>Bytes per second of one direction, shared by all connections of a sandbox.</summary>
internal sealed class EgressBandwidth
{
    /// <summary>Pieces are a twentieth of a second's worth, so that a slow limit is a trickle and not a stop and go.</summary>
    private const int PiecesPerSecond = 20;

    private readonly RateBucket _bucket;
    private readonly TimeProvider _time;

    internal EgressBandwidth(long bytesPerSecond, TimeProvider time)
    {
        Piece = (int)Math.Clamp(bytesPerSecond / PiecesPerSecond, 1, 1 << 20);
        _time = time;
        _bucket = new RateBucket(bytesPerSecond, Piece, time);
    }

    /// <summary>Most bytes to move in one step.</summary>
    internal int Piece { get; }

    /// <summary>Completes when so many bytes, at most <see cref="Piece"/>, may be moved.</summary>
    /// <param name="bytes">How many.</param>
    /// <param name="ended">Stops waiting because the connection is gone.</param>
    /// <param name="cancellationToken">Stops waiting because the caller gave up.</param>
    internal async ValueTask TakeAsync(int bytes, CancellationToken ended, CancellationToken cancellationToken)
    {
        TimeSpan wait = _bucket.Take(bytes);
        if (wait > TimeSpan.Zero)
        {
            using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, ended);
            try
            {
                await Task.Delay(wait, _time, either.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                _bucket.GiveBack(bytes); // the others need not pay for what was not moved
                throw;
            }
        }
    }
}
