namespace OpenSandbox.VirtioSerial;

/// <summary>
/// Data lent out by <see cref="GuestStream.ReadAsync(CancellationToken)"/>. Dispose it before the next read: then the bytes count as consumed,
/// the agent may send more, and <see cref="Bytes"/> is dead. Disposing twice, or the default value, does nothing.
/// </summary>
public readonly struct GuestData : IDisposable, IEquatable<GuestData>
{
    private readonly StreamCore? _core;
    private readonly int _lease;

    internal GuestData(StreamCore core, int lease, DataChannel channel, ReadOnlyMemory<byte> bytes)
    {
        _core = core;
        _lease = lease;
        Channel = channel;
        Bytes = bytes;
    }

    /// <summary>Which channel the bytes belong to.</summary>
    public DataChannel Channel { get; }

    /// <summary>The bytes; empty only when <see cref="IsEnd"/>.</summary>
    public ReadOnlyMemory<byte> Bytes { get; }

    /// <summary>Whether the agent sends no more Data on this stream.</summary>
    public bool IsEnd => _core is null;

    /// <inheritdoc/>
    public void Dispose() => _core?.Return(_lease, Bytes.Length);

    /// <inheritdoc/>
    public bool Equals(GuestData other) => ReferenceEquals(_core, other._core) && _lease == other._lease;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is GuestData other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(_core, _lease);

    /// <summary>Whether both are the same loan.</summary>
    public static bool operator ==(GuestData left, GuestData right) => left.Equals(right);

    /// <summary>Whether both are different loans.</summary>
    public static bool operator !=(GuestData left, GuestData right) => !left.Equals(right);
}
