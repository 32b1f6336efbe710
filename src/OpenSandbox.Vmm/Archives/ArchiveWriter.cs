using System.Buffers;
using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Compression;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Vmm.Archives;

/// <summary>
/// Writes an archive from front to back on any stream. Holds about 4 MiB. After an exception, a cancelled call included, nothing more can be
/// written and what was written is worth nothing. One call at a time.
/// </summary>
internal sealed class ArchiveWriter : IDisposable
{
    private const int FlushSize = 1 << 20;

    private static readonly byte[] s_zeros = new byte[Lz4FrameCompressor.MaxInput];

    private readonly Stream _destination;
    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private readonly byte[] _output;
    private readonly byte[] _input = ArrayPool<byte>.Shared.Rent(Lz4FrameCompressor.MaxInput);
    private readonly List<ArchiveEntry> _entries = [];
    private readonly List<long> _offsets = [];
    private int _pending;
    private long _flushed;
    private bool _unusable;
    private bool _disposed;

    private ArchiveWriter(Stream destination)
    {
        _destination = destination;
        _output = ArrayPool<byte>.Shared.Rent(FlushSize + Lz4FrameCompressor.MaxOutput);
    }

    private long Position => _flushed + _pending;

    /// <summary>Begins an archive.</summary>
    /// <param name="destination">Stays the caller's.</param>
    /// <param name="manifest">At most 16 MiB; readers may accept less (<see cref="ArchiveLimits"/>).</param>
    /// <param name="cancellationToken">Stops the writing.</param>
    /// <exception cref="HostPrerequisiteException">liblz4 is not installed.</exception>
    internal static async Task<ArchiveWriter> StartAsync(Stream destination, ReadOnlyMemory<byte> manifest, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(manifest.Length, ArchiveFormat.MaxManifestBytes, nameof(manifest));
        var writer = new ArchiveWriter(destination);
        try
        {
            await writer.WriteAsync(ArchiveFormat.Header(manifest.Span), cancellationToken).ConfigureAwait(false);
            await writer.WriteAsync(manifest, cancellationToken).ConfigureAwait(false);
            return writer;
        }
        catch
        {
            writer.Dispose();
            throw;
        }
    }

    /// <summary>Adds a file. Its holes are not read.</summary>
    /// <param name="name">One of <see cref="ArchiveNames"/>, in their order, each once.</param>
    /// <param name="file">Open for reading; stays the caller's.</param>
    /// <param name="length">How many bytes of it count.</param>
    /// <param name="cancellationToken">Stops between two chunks of 1 MiB.</param>
    /// <exception cref="EndOfStreamException">The file is shorter.</exception>
    /// <exception cref="IOException">Reading or writing failed.</exception>
    internal Task<ArchiveEntry> AddAsync(string name, SafeFileHandle file, long length, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        return AddAsync(name, (ulong)length, (content, stop) => AddFileAsync(content, file, length, stop), cancellationToken);
    }

    /// <summary>Adds what a stream has, to its end.</summary>
    /// <inheritdoc cref="AddAsync(string, SafeFileHandle, long, CancellationToken)"/>
    internal Task<ArchiveEntry> AddAsync(string name, Stream content, CancellationToken cancellationToken) => AddAsync(
        name,
        ArchiveFormat.UnknownLength,
        async (entry, stop) =>
        {
            while (true)
            {
                int count = await content.ReadAtLeastAsync(
                    _input.AsMemory(0, Lz4FrameCompressor.MaxInput), Lz4FrameCompressor.MaxInput, throwOnEndOfStream: false, stop).ConfigureAwait(false);
                if (count == 0)
                {
                    return;
                }

                await CompressAsync(entry, _input.AsMemory(0, count), stop).ConfigureAwait(false);
            }
        },
        cancellationToken);

    /// <summary>Ends the archive. The destination is flushed but not synced.</summary>
    internal async Task<ArchiveSummary> FinishAsync(CancellationToken cancellationToken)
    {
        Begin();
        long indexOffset = Position;
        await WriteAsync(ArchiveFormat.Index(_entries, _offsets), cancellationToken).ConfigureAwait(false);
        await WriteAsync(ArchiveFormat.Trailer(indexOffset), cancellationToken).ConfigureAwait(false);
        await FlushAsync(cancellationToken).ConfigureAwait(false);
        byte[] hash = _hash.GetHashAndReset();
        await _destination.WriteAsync(hash, cancellationToken).ConfigureAwait(false);
        await _destination.FlushAsync(cancellationToken).ConfigureAwait(false);
        return new ArchiveSummary(_flushed + hash.Length, Convert.ToHexStringLower(hash), _entries);
    }

    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        _hash.Dispose();
        ArrayPool<byte>.Shared.Return(_input, clearArray: true); // a guest's content does not stay behind in the pool
        ArrayPool<byte>.Shared.Return(_output, clearArray: true);
    }

    private async Task<ArchiveEntry> AddAsync(
        string name, ulong length, Func<EntryContent, CancellationToken, Task> addContent, CancellationToken cancellationToken)
    {
        if (!ArchiveNames.MayFollow(name, _entries))
        {
            throw new ArgumentException("not the name of an entry, or not in its place", nameof(name));
        }

        if (_entries.Count == ArchiveFormat.MaxEntries)
        {
            throw new InvalidOperationException($"an archive has at most {ArchiveFormat.MaxEntries} entries");
        }

        Begin();
        long offset = Position;
        await WriteAsync(ArchiveFormat.EntryHeader(name, length), cancellationToken).ConfigureAwait(false);
        long frame = Position;
        using var content = new EntryContent();
        await MakeRoomAsync(cancellationToken).ConfigureAwait(false);
        _pending += content.Compressor.Begin(_output.AsSpan(_pending));
        await addContent(content, cancellationToken).ConfigureAwait(false);
        await MakeRoomAsync(cancellationToken).ConfigureAwait(false);
        _pending += content.Compressor.End(_output.AsSpan(_pending));
        byte[] hash = content.Hash.GetHashAndReset();
        var entry = new ArchiveEntry(name, content.Length, Position - frame, Convert.ToHexStringLower(hash));
        await WriteAsync(ArchiveFormat.EntryTail(content.Length, hash), cancellationToken).ConfigureAwait(false);
        _entries.Add(entry);
        _offsets.Add(offset);
        _unusable = false;
        return entry;
    }

    private async Task AddFileAsync(EntryContent content, SafeFileHandle file, long length, CancellationToken cancellationToken)
    {
        long position = 0;
        foreach ((long start, long end) in DataExtents.Of(file, length, alignment: 4096))
        {
            await AddHoleAsync(content, start - position, cancellationToken).ConfigureAwait(false);
            for (position = start; position < end;)
            {
                int wanted = (int)Math.Min(Lz4FrameCompressor.MaxInput, end - position);
                int count = await RandomAccess.ReadAsync(file, _input.AsMemory(0, wanted), position, cancellationToken).ConfigureAwait(false);
                if (count == 0)
                {
                    throw new EndOfStreamException($"the file ends at byte {position}, earlier than it should");
                }

                await CompressAsync(content, _input.AsMemory(0, count), cancellationToken).ConfigureAwait(false);
                position += count;
            }
        }

        if (RandomAccess.GetLength(file) < length)
        {
            throw new EndOfStreamException($"the file is shorter than {length} bytes");
        }

        await AddHoleAsync(content, length - position, cancellationToken).ConfigureAwait(false);
    }

    private async Task AddHoleAsync(EntryContent content, long length, CancellationToken cancellationToken)
    {
        while (length > 0)
        {
            int count = (int)Math.Min(length, s_zeros.Length);
            await CompressAsync(content, s_zeros.AsMemory(0, count), cancellationToken).ConfigureAwait(false);
            length -= count;
        }
    }

    private async ValueTask CompressAsync(EntryContent content, ReadOnlyMemory<byte> chunk, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        await MakeRoomAsync(cancellationToken).ConfigureAwait(false);
        content.Hash.AppendData(chunk.Span);
        content.Length += chunk.Length;
        _pending += content.Compressor.Compress(chunk.Span, _output.AsSpan(_pending));
    }

    /// <summary>Appends bytes that are not part of a frame.</summary>
    private async ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        while (!bytes.IsEmpty)
        {
            await MakeRoomAsync(cancellationToken).ConfigureAwait(false);
            int length = Math.Min(bytes.Length, _output.Length - _pending);
            bytes.Span[..length].CopyTo(_output.AsSpan(_pending));
            _pending += length;
            bytes = bytes[length..];
        }
    }

    /// <summary>Makes sure that there is room for one call of the compressor.</summary>
    private ValueTask MakeRoomAsync(CancellationToken cancellationToken) =>
        _pending >= FlushSize ? FlushAsync(cancellationToken) : ValueTask.CompletedTask;

    private async ValueTask FlushAsync(CancellationToken cancellationToken)
    {
        _hash.AppendData(_output, 0, _pending);
        await _destination.WriteAsync(_output.AsMemory(0, _pending), cancellationToken).ConfigureAwait(false);
        _flushed += _pending;
        _pending = 0;
    }

    /// <summary>Marks the archive as unusable until the operation that begins has succeeded.</summary>
    private void Begin()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_unusable)
        {
            throw new InvalidOperationException("the archive has been finished, or writing to it has failed");
        }

        _unusable = true;
    }

    /// <summary>What is being added.</summary>
    private sealed class EntryContent : IDisposable
    {
        internal Lz4FrameCompressor Compressor { get; } = new();

        internal IncrementalHash Hash { get; } = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

        internal long Length { get; set; }

        public void Dispose()
        {
            Compressor.Dispose();
            Hash.Dispose();
        }
    }
}
