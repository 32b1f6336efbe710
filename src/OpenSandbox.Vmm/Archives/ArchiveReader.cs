using System.Buffers;
using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Compression;

namespace OpenSandbox.Vmm.Archives;

/// <summary>
/// Reads an archive from front to back from any stream, and trusts nothing in it. Holds about 3 MiB and the manifest. What was extracted may be
/// used once <see cref="NextAsync"/> has returned <see langword="null"/>, and not before. One call at a time.
/// </summary>
/// <remarks>After an exception, a cancelled call included, the reader is of no more use.</remarks>
internal sealed class ArchiveReader : IDisposable
{
    private const int ChunkSize = 1 << 20;

    // What is all zero is not written: the size of a cluster of a qcow2 image, which is most of what is in an archive.
    private const int HoleSize = 65_536;

    private readonly ArchiveInput _input;
    private readonly ArchiveLimits _limits;
    private readonly byte[] _chunk = ArrayPool<byte>.Shared.Rent(ChunkSize);
    private readonly List<ArchiveEntry> _entries = [];
    private readonly List<long> _offsets = [];
    private long _total;
    private string? _openName;
    private ulong _openLength;
    private bool _unusable;
    private bool _disposed;
    private ArchiveSummary? _summary;

    private ArchiveReader(Stream source, ArchiveLimits limits)
    {
        _input = new ArchiveInput(source);
        _limits = limits;
    }

    /// <summary>The manifest, whose hash has been checked. Its meaning is the caller's to check.</summary>
    internal ReadOnlyMemory<byte> Manifest { get; private set; }

    /// <summary>The whole archive.</summary>
    /// <exception cref="InvalidOperationException"><see cref="NextAsync"/> has not returned <see langword="null"/> yet.</exception>
    internal ArchiveSummary Summary => _summary ?? throw new InvalidOperationException("the archive has not been read to its end");

    /// <summary>Reads and checks the header and the manifest.</summary>
    /// <param name="source">Stays the caller's; may be anything that can be read.</param>
    /// <param name="limits">What is accepted.</param>
    /// <param name="cancellationToken">Stops the reading. How long a source may take is the caller's to say, by this token.</param>
    /// <exception cref="ArchiveException">It is not an archive, or one that is not accepted.</exception>
    /// <exception cref="IOException">The source cannot be read.</exception>
    internal static async Task<ArchiveReader> OpenAsync(Stream source, ArchiveLimits limits, CancellationToken cancellationToken)
    {
        var reader = new ArchiveReader(source, limits);
        try
        {
            await reader.ReadHeaderAsync(cancellationToken).ConfigureAwait(false);
            return reader;
        }
        catch
        {
            reader.Dispose();
            throw;
        }
    }

    /// <summary>Reads a whole archive for its checks alone.</summary>
    /// <inheritdoc cref="OpenAsync"/>
    internal static async Task<ArchiveSummary> VerifyAsync(Stream source, ArchiveLimits limits, CancellationToken cancellationToken)
    {
        using ArchiveReader reader = await OpenAsync(source, limits, cancellationToken).ConfigureAwait(false);
        while (await reader.NextAsync(cancellationToken).ConfigureAwait(false) is not null)
        {
            // What is not extracted is checked all the same.
        }

        return reader.Summary;
    }

    /// <summary>Goes on to the next entry; what is left of the current one is read and checked.</summary>
    /// <returns>Its name, one of <see cref="ArchiveNames"/>; <see langword="null"/> when the archive has ended and all of it is right.</returns>
    /// <exception cref="ArchiveException">The archive is damaged, cut short, or not accepted.</exception>
    internal async Task<string?> NextAsync(CancellationToken cancellationToken)
    {
        if (_summary is not null)
        {
            return null;
        }

        if (_openName is not null)
        {
            await ReadEntryAsync(target: null, cancellationToken).ConfigureAwait(false);
        }

        Begin();
        await _input.NeedAsync(ArchiveFormat.MarkLength, cancellationToken).ConfigureAwait(false);
        if (_input.Buffered.StartsWith(ArchiveFormat.IndexMark))
        {
            _summary = await ReadEndAsync(cancellationToken).ConfigureAwait(false);
            return null;
        }

        if (!_input.Buffered.StartsWith(ArchiveFormat.EntryMark))
        {
            throw new ArchiveException($"there is neither an entry nor the index at byte {_input.Position}");
        }

        await ReadEntryHeaderAsync(cancellationToken).ConfigureAwait(false);
        _unusable = false;
        return _openName;
    }

    /// <summary>Writes the current entry into a file; blocks of 64 KiB that are all zero become holes. Nothing is synced.</summary>
    /// <param name="target">An empty file, open for writing; stays the caller's.</param>
    /// <param name="cancellationToken">Stops between two chunks of 1 MiB.</param>
    /// <exception cref="ArchiveException">The entry is damaged, cut short, or larger than accepted.</exception>
    /// <exception cref="IOException">Reading or writing failed, for instance because the disk is full.</exception>
    internal Task<ArchiveEntry> ExtractAsync(SafeFileHandle target, CancellationToken cancellationToken) => ReadEntryAsync(target, cancellationToken);

    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        _input.Dispose();
        ArrayPool<byte>.Shared.Return(_chunk, clearArray: true); // a guest's content does not stay behind in the pool
    }

    private async Task ReadHeaderAsync(CancellationToken cancellationToken)
    {
        byte[] header = await _input.ReadAsync(ArchiveFormat.HeaderLength, cancellationToken).ConfigureAwait(false);
        if (!header.AsSpan().StartsWith(ArchiveFormat.Magic))
        {
            throw new ArchiveException("it does not begin as an archive");
        }

        uint version = BinaryPrimitives.ReadUInt32LittleEndian(header.AsSpan(8));
        if (version != ArchiveFormat.Version)
        {
            throw new ArchiveException($"it has version {version}; {ArchiveFormat.Version} is what can be read");
        }

        uint length = BinaryPrimitives.ReadUInt32LittleEndian(header.AsSpan(12));
        if (length > Math.Min(_limits.ManifestBytes, ArchiveFormat.MaxManifestBytes))
        {
            throw new ArchiveException($"a manifest of {length} bytes; at most {_limits.ManifestBytes} are accepted");
        }

        byte[] manifest = await _input.ReadAsync((int)length, cancellationToken).ConfigureAwait(false);
        if (!SHA256.HashData(manifest).AsSpan().SequenceEqual(header.AsSpan(16)))
        {
            throw new ArchiveException("the manifest has another SHA-256 than the header says");
        }

        Manifest = manifest;
    }

    private async Task ReadEntryHeaderAsync(CancellationToken cancellationToken)
    {
        if (_entries.Count == Math.Min(_limits.Entries, ArchiveFormat.MaxEntries))
        {
            throw new ArchiveException($"more than {_limits.Entries} entries");
        }

        long offset = _input.Position;
        byte[] header = await _input.ReadAsync(ArchiveFormat.EntryHeaderLength, cancellationToken).ConfigureAwait(false);
        int nameLength = BinaryPrimitives.ReadUInt16LittleEndian(header.AsSpan(4));
        if (nameLength > ArchiveNames.MaxLength || BinaryPrimitives.ReadUInt16LittleEndian(header.AsSpan(6)) != 0)
        {
            throw new ArchiveException($"the header of an entry is not valid (a name of {nameLength} bytes)");
        }

        // Latin-1 gives every byte a character of its own, of which the names use few.
        string name = Encoding.Latin1.GetString(await _input.ReadAsync(nameLength, cancellationToken).ConfigureAwait(false));
        if (!ArchiveNames.MayFollow(name, _entries))
        {
            throw new ArchiveException($"entry {_entries.Count} has a name that is not accepted, or not there, or twice");
        }

        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(header.AsSpan(8));
        if (length != ArchiveFormat.UnknownLength && length > (ulong)Room)
        {
            throw new ArchiveException($"'{name}' has {length} bytes; at most {Room} are accepted");
        }

        _openName = name;
        _openLength = length;
        _offsets.Add(offset);
    }

    /// <summary>How much content the next entry may have.</summary>
    private long Room => Math.Min(_limits.EntryBytes, _limits.TotalBytes - _total);

    private async Task<ArchiveEntry> ReadEntryAsync(SafeFileHandle? target, CancellationToken cancellationToken)
    {
        if (_openName is not string name)
        {
            throw new InvalidOperationException("there is no entry that has not been read");
        }

        if (target is not null && RandomAccess.GetLength(target) != 0)
        {
            throw new ArgumentException("the file is not empty", nameof(target));
        }

        Begin();
        long frame = _input.Position, length = 0;
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        using var decompressor = new Lz4FrameDecompressor(_openLength == ArchiveFormat.UnknownLength ? Room : (long)_openLength);
        while (!decompressor.Ended)
        {
            int count = await ReadChunkAsync(name, decompressor, cancellationToken).ConfigureAwait(false);
            hash.AppendData(_chunk, 0, count);
            if (target is not null)
            {
                await WriteSparseAsync(target, _chunk.AsMemory(0, count), length, cancellationToken).ConfigureAwait(false);
            }

            length += count;
        }

        long stored = _input.Position - frame;
        byte[] sha256 = hash.GetHashAndReset();
        byte[] tail = await _input.ReadAsync(ArchiveFormat.EntryTailLength, cancellationToken).ConfigureAwait(false);
        if ((_openLength != ArchiveFormat.UnknownLength && _openLength != (ulong)length) || !tail.AsSpan().SequenceEqual(ArchiveFormat.EntryTail(length, sha256)))
        {
            throw new ArchiveException($"'{name}' has another length or SHA-256 than the archive says");
        }

        if (target is not null)
        {
            RandomAccess.SetLength(target, length); // the last block may be a hole
        }

        var entry = new ArchiveEntry(name, length, stored, Convert.ToHexStringLower(sha256));
        _entries.Add(entry);
        _total += length;
        _openName = null;
        _unusable = false;
        return entry;
    }

    /// <summary>Fills the chunk with content; less than all of it only at the end of the frame.</summary>
    private async ValueTask<int> ReadChunkAsync(string name, Lz4FrameDecompressor decompressor, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        int filled = 0;
        while (filled < ChunkSize && !decompressor.Ended)
        {
            await _input.NeedAsync(1, cancellationToken).ConfigureAwait(false);
            try
            {
                filled += decompressor.Decompress(_input.Buffered, _chunk.AsSpan(filled, ChunkSize - filled), out int consumed);
                _input.Consume(consumed);
            }
            catch (Lz4FormatException damaged)
            {
                throw new ArchiveException($"'{name}': {damaged.Message}", damaged);
            }
        }

        return filled;
    }

    private static async ValueTask WriteSparseAsync(SafeFileHandle target, ReadOnlyMemory<byte> content, long offset, CancellationToken cancellationToken)
    {
        for (int at = 0; at < content.Length;)
        {
            int length = 0;
            while (at + length < content.Length && !IsHole(content.Span[(at + length)..]))
            {
                length += Math.Min(HoleSize, content.Length - at - length);
            }

            if (length == 0)
            {
                at += Math.Min(HoleSize, content.Length - at);
                continue;
            }

            await RandomAccess.WriteAsync(target, content.Slice(at, length), offset + at, cancellationToken).ConfigureAwait(false);
            at += length;
        }
    }

    private static bool IsHole(ReadOnlySpan<byte> content) => !content[..Math.Min(HoleSize, content.Length)].ContainsAnyExcept((byte)0);

    private async Task<ArchiveSummary> ReadEndAsync(CancellationToken cancellationToken)
    {
        long indexOffset = _input.Position;
        byte[] expected = [.. ArchiveFormat.Index(_entries, _offsets), .. ArchiveFormat.Trailer(indexOffset)];
        byte[] actual = await _input.ReadAsync(expected.Length, cancellationToken).ConfigureAwait(false);
        if (!actual.AsSpan().SequenceEqual(expected))
        {
            throw new ArchiveException("the index or the trailer is not that of the entries before it");
        }

        byte[] hash = _input.Hash();
        byte[] stored = await _input.ReadAsync(ArchiveFormat.HashLength, cancellationToken).ConfigureAwait(false);
        if (!hash.AsSpan().SequenceEqual(stored))
        {
            throw new ArchiveException("it has another SHA-256 than its trailer says");
        }

        return await _input.IsAtEndAsync(cancellationToken).ConfigureAwait(false)
            ? new ArchiveSummary(_input.Position, Convert.ToHexStringLower(hash), _entries)
            : throw new ArchiveException("something follows its trailer");
    }

    /// <summary>Marks the reader as of no more use until the operation that begins has succeeded.</summary>
    private void Begin()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_unusable)
        {
            throw new InvalidOperationException("reading the archive has failed");
        }

        _unusable = true;
    }
}
