using System.Buffers;
using System.Buffers.Binary;

namespace OpenSandbox.Vmm.Snapshots;

/// <summary>Understands the content of one memory file and hands its pages on, many runs at once.</summary>
internal sealed class MemoryFileDecoder : IDisposable
{
    // What is decoded at once. Small enough for the second-level caches of server processors, in which the target then still finds it.
    private const int DataSize = 1 << 20;

    // Behind it stand zeros, to which every run of zero pages points.
    private const int ZeroSize = 1 << 18;

    private readonly MemoryFileInput _input;
    private readonly MemoryFileLayout _layout;
    private readonly IMemoryTarget _target;
    private readonly byte[] _buffer = ArrayPool<byte>.Shared.Rent(DataSize + ZeroSize);
    private readonly MemoryFileRun[] _runs = ArrayPool<MemoryFileRun>.Shared.Rent(MemoryFileFormat.MaxRunsPerBatch);
    private int _runCount;
    private int _start;
    private int _end;
    private int _used;

    private MemoryFileRegion _region;
    private long _regionPages;
    private long _nextPage;
    private long _openPage;
    private long _openCount;
    private long _dataPages;
    private long _zeroPages;
    private uint _crc = MemoryFileFormat.CrcSeed;

    internal MemoryFileDecoder(MemoryFileInput input, MemoryFileLayout layout, IMemoryTarget target)
    {
        _input = input;
        _layout = layout;
        _target = target;
        _buffer.AsSpan(DataSize, ZeroSize).Clear();
    }

    internal MemoryFileSummary Run(CancellationToken cancellationToken)
    {
        Fill(cancellationToken);
        ReadHeader();
        while (true)
        {
            if (_openCount > 0)
            {
                TakeData(cancellationToken);
                continue;
            }

            Need(MemoryFileFormat.RecordLength, cancellationToken);
            ReadOnlySpan<byte> record = _buffer.AsSpan(_start, MemoryFileFormat.RecordLength);
            _start += MemoryFileFormat.RecordLength;
            uint kind = BinaryPrimitives.ReadUInt32LittleEndian(record);
            uint region = BinaryPrimitives.ReadUInt32LittleEndian(record[4..]);
            long a = BinaryPrimitives.ReadInt64LittleEndian(record[8..]);
            long b = BinaryPrimitives.ReadInt64LittleEndian(record[16..]);
            if (kind == MemoryFileFormat.KindEnd)
            {
                Flush();
                return End(region, a, b, cancellationToken);
            }

            _crc = MemoryFileFormat.Crc(_crc, record);
            if (kind == MemoryFileFormat.KindRegion)
            {
                BeginRegion(region, a, b);
                continue;
            }

            if (region != 0)
            {
                throw new MemoryFileException($"a record of kind {kind} names a region");
            }

            switch (kind)
            {
                case MemoryFileFormat.KindData:
                    CheckRun(a, b);
                    _dataPages += b;
                    (_openPage, _openCount) = (a, b);
                    break;
                case MemoryFileFormat.KindZero:
                    CheckRun(a, b);
                    _zeroPages += b;
                    TakeZeros(a, b, cancellationToken);
                    break;
                default:
                    throw new MemoryFileException($"it has a record of an unknown kind ({kind})");
            }
        }
    }

    public void Dispose()
    {
        _buffer.AsSpan(0, _used).Clear(); // a guest's memory does not stay behind in the pool
        ArrayPool<byte>.Shared.Return(_buffer);
        ArrayPool<MemoryFileRun>.Shared.Return(_runs);
    }

    private void ReadHeader()
    {
        if (_end < MemoryFileFormat.HeaderLength)
        {
            throw new MemoryFileException("its content ends within the header");
        }

        ReadOnlySpan<byte> header = _buffer.AsSpan(0, MemoryFileFormat.HeaderLength);
        if (!header.StartsWith(MemoryFileFormat.Magic))
        {
            throw new MemoryFileException("its content does not begin as that of a memory file");
        }

        uint version = BinaryPrimitives.ReadUInt32LittleEndian(header[8..]);
        if (version != MemoryFileFormat.Version)
        {
            throw new MemoryFileException($"it has version {version}; {MemoryFileFormat.Version} is what can be read");
        }

        uint pageSize = BinaryPrimitives.ReadUInt32LittleEndian(header[12..]);
        if (pageSize != MemoryFileFormat.PageSize || BinaryPrimitives.ReadUInt64LittleEndian(header[16..]) != 0)
        {
            throw new MemoryFileException($"its header is not valid (page size {pageSize})");
        }

        _crc = MemoryFileFormat.Crc(_crc, header);
        _start = MemoryFileFormat.HeaderLength;
    }

    private void BeginRegion(uint region, long size, long reserved)
    {
        Flush();
        long expected = (MemoryFileRegion)region switch
        {
            MemoryFileRegion.Ram => _layout.RamBytes,
            MemoryFileRegion.Plugged => _layout.PluggedBytes,
            _ => throw new MemoryFileException($"it has an unknown region ({region})"),
        };
        if ((MemoryFileRegion)region <= _region)
        {
            throw new MemoryFileException($"region {(MemoryFileRegion)region} stands twice or in the wrong place");
        }

        if (size != expected || size <= 0 || size % MemoryFileFormat.PageSize != 0 || reserved != 0)
        {
            throw new MemoryFileException($"region {(MemoryFileRegion)region} has {size} bytes where the guest has {expected}");
        }

        _region = (MemoryFileRegion)region;
        _regionPages = size / MemoryFileFormat.PageSize;
        _nextPage = 0;
    }

    /// <summary>Checks a run against the region and what came before it. Written so that no sum can overflow.</summary>
    private void CheckRun(long first, long count)
    {
        if (count < 1 || first < _nextPage || first >= _regionPages || count > _regionPages - first)
        {
            throw new MemoryFileException(
                $"a run of {count} pages from page {first} is not valid: next may be page {_nextPage} of {_regionPages} in region {(int)_region}");
        }

        _nextPage = first + count;
    }

    /// <summary>Takes as much of the open run as has been decoded.</summary>
    private void TakeData(CancellationToken cancellationToken)
    {
        Need(MemoryFileFormat.PageSize, cancellationToken);
        int pages = (int)Math.Min(_openCount, (_end - _start) / MemoryFileFormat.PageSize);
        int length = pages * MemoryFileFormat.PageSize;
        _crc = MemoryFileFormat.Crc(_crc, _buffer.AsSpan(_start, length));
        Append(new MemoryFileRun(_openPage * MemoryFileFormat.PageSize, length, _start));
        _start += length;
        _openPage += pages;
        _openCount -= pages;
    }

    private void TakeZeros(long first, long count, CancellationToken cancellationToken)
    {
        long offset = first * MemoryFileFormat.PageSize, left = count * MemoryFileFormat.PageSize;
        while (left > 0)
        {
            cancellationToken.ThrowIfCancellationRequested();
            int length = (int)Math.Min(left, ZeroSize);
            Append(new MemoryFileRun(offset, length, DataSize));
            offset += length;
            left -= length;
        }
    }

    private void Append(MemoryFileRun run)
    {
        if (_runCount == MemoryFileFormat.MaxRunsPerBatch)
        {
            Flush();
        }

        _runs[_runCount++] = run;
    }

    private void Flush()
    {
        if (_runCount > 0)
        {
            int count = _runCount;
            _runCount = 0;
            _target.WriteBatch(_region, _runs.AsSpan(0, count), _buffer.AsSpan(0, DataSize + ZeroSize));
        }
    }

    /// <summary>Makes sure that this many bytes of content are in the buffer.</summary>
    private void Need(int length, CancellationToken cancellationToken)
    {
        if (_end - _start >= length)
        {
            return;
        }

        Flush(); // its runs point into what is overwritten now
        Fill(cancellationToken);
        if (_end - _start < length)
        {
            throw new MemoryFileException("its content ends early");
        }
    }

    private void Fill(CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
        _end -= _start;
        _start = 0;
        _end += _input.Read(_buffer.AsSpan(_end, DataSize - _end));
        _used = Math.Max(_used, _end);
    }

    private MemoryFileSummary End(uint crc, long dataPages, long zeroPages, CancellationToken cancellationToken)
    {
        if (crc != _crc)
        {
            throw new MemoryFileException("its content has another checksum than its end says");
        }

        if (dataPages != _dataPages || zeroPages != _zeroPages)
        {
            throw new MemoryFileException(
                $"it has {_dataPages} data and {_zeroPages} zero pages where its end counts {dataPages} and {zeroPages}");
        }

        if (_start == _end)
        {
            Fill(cancellationToken); // reads on to the end of the frame, with its checksum
        }

        if (_start != _end)
        {
            throw new MemoryFileException("content follows its end mark");
        }

        return new MemoryFileSummary(_input.Length, _input.Finish(), _input.ContentLength, _dataPages, _zeroPages);
    }
}
