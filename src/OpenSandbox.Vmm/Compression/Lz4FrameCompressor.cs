using System.Runtime.InteropServices;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.Compression;

/// <summary>Makes one LZ4 frame, piece by piece, in the caller's buffers. Holds about 0.3 MiB. Not thread-safe.</summary>
internal sealed class Lz4FrameCompressor : IDisposable
{
    /// <summary>Most content that one call of <see cref="Compress"/> takes, bytes.</summary>
    internal const int MaxInput = 1 << 20;

    private readonly Lz4CompressionContext _context;

    /// <exception cref="HostPrerequisiteException">liblz4 is not installed.</exception>
    internal Lz4FrameCompressor()
    {
        Lz4Frame.EnsureAvailable();
        Check(Lz4.CreateCompressionContext(out _context, Lz4.ApiVersion));
    }

    /// <summary>Room that the destination of every call must have, bytes: a little more than <see cref="MaxInput"/> and one block.</summary>
    /// <exception cref="HostPrerequisiteException">liblz4 is not installed.</exception>
    internal static int MaxOutput
    {
        get
        {
            Lz4Frame.EnsureAvailable();
            Lz4Preferences preferences = Lz4Frame.Preferences;
            return Math.Max(Lz4Frame.MaxHeaderLength, Check(Lz4.CompressBound(MaxInput, in preferences)));
        }
    }

    /// <summary>Begins the frame; to be called once, first.</summary>
    /// <returns>Bytes written.</returns>
    internal int Begin(Span<byte> destination)
    {
        Lz4Preferences preferences = Lz4Frame.Preferences;
        return Check(Lz4.CompressBegin(_context, ref MemoryMarshal.GetReference(destination), (nuint)destination.Length, in preferences));
    }

    /// <summary>Adds content. What does not fill a block is held back.</summary>
    /// <param name="content">At most <see cref="MaxInput"/> bytes.</param>
    /// <param name="destination">At least <see cref="MaxOutput"/> bytes.</param>
    /// <returns>Bytes written; often none.</returns>
    internal int Compress(ReadOnlySpan<byte> content, Span<byte> destination)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(content.Length, MaxInput, nameof(content));
        if (content.IsEmpty)
        {
            return 0;
        }

        return Check(Lz4.CompressUpdate(
            _context,
            ref MemoryMarshal.GetReference(destination),
            (nuint)destination.Length,
            ref MemoryMarshal.GetReference(content),
            (nuint)content.Length,
            options: 0));
    }

    /// <summary>Ends the frame.</summary>
    /// <param name="destination">At least <see cref="MaxOutput"/> bytes.</param>
    /// <returns>Bytes written.</returns>
    internal int End(Span<byte> destination) =>
        Check(Lz4.CompressEnd(_context, ref MemoryMarshal.GetReference(destination), (nuint)destination.Length, options: 0));

    public void Dispose() => _context.Dispose();

    private static int Check(nuint result) => Lz4.IsError(result) == 0
        ? checked((int)result)
        : throw new InvalidOperationException($"liblz4: {Lz4Frame.Describe(result)}");
}
