using System.Security.Cryptography;

namespace OpenSandbox.Integration.Tests;

/// <summary>Random content that goes on until it is told to end, and its hash.</summary>
internal sealed class EndlessContent : Stream
{
    private readonly Random _random = new(4711);
    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private volatile bool _ended;

    internal long Given { get; private set; }

    /// <summary>No content follows what was given.</summary>
    internal void End() => _ended = true;

    /// <summary>Hash of everything that was given, once.</summary>
    internal string Hash() => Convert.ToHexString(_hash.GetHashAndReset()).ToLowerInvariant();

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    public override int Read(byte[] buffer, int offset, int count)
    {
        if (_ended)
        {
            return 0;
        }

        Span<byte> bytes = buffer.AsSpan(offset, Math.Min(count, 10_000));
        _random.NextBytes(bytes);
        _hash.AppendData(bytes);
        Given += bytes.Length;
        return bytes.Length;
    }

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _hash.Dispose();
        }

        base.Dispose(disposing);
    }
}
