using System.Buffers;
using Microsoft.Win32.SafeHandles;

namespace OpenSandbox.Vmm.Disks;

/// <summary>One run of <see cref="Qcow2Flattener"/>: an L2 table (512 MiB of disk) at a time, with about 4.3 MiB of memory.</summary>
internal sealed class Qcow2FlattenRun(Qcow2Layer[] topToBottom, SafeFileHandle target, IProgress<long>? progress)
{
    private const int BatchClusters = 64;
    private const int ClusterSize = Qcow2Header.ClusterSize;

    private readonly Qcow2Writer _writer = new(target, topToBottom[0].VirtualBytes);
    private readonly Qcow2Claims[] _claims = [.. topToBottom.Select(static layer => layer.NewClaims())];
    private readonly ulong[] _table = new ulong[Qcow2Header.L2Entries];
    private readonly ulong[] _result = new ulong[Qcow2Header.L2Entries];
    private readonly Qcow2Cluster[] _seen = new Qcow2Cluster[Qcow2Header.L2Entries];
    private readonly ushort[] _owner = new ushort[Qcow2Header.L2Entries];
    private readonly int[] _batch = new int[BatchClusters];
    private long _done;
    private long _data;
    private long _zero;

    internal Qcow2Usage Run(CancellationToken cancellationToken)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(BatchClusters * ClusterSize);
        try
        {
            for (int index = 0; index < topToBottom[0].TableCount; index++)
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (Resolve(index, out int entries))
                {
                    CopyContent(index, entries, buffer, cancellationToken);
                    _writer.AppendTable(index, _result);
                }
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer, clearArray: true); // a guest's disk does not stay behind in the pool
        }

        return new Qcow2Usage(_writer.Finish(), _data, _zero);
    }

    /// <summary>Finds out what the guest sees of each cluster of a table. False if no layer says anything.</summary>
    private bool Resolve(int index, out int entries)
    {
        Array.Clear(_seen);
        Array.Clear(_result);
        entries = topToBottom[0].EntriesOf(index);
        bool any = false;
        for (int layer = 0; layer < topToBottom.Length; layer++)
        {
            if (!topToBottom[layer].TryReadTable(index, _table, _claims[layer]))
            {
                continue;
            }

            for (int at = 0; at < entries; at++)
            {
                // Also what a higher layer hides is checked and claimed.
                Qcow2Cluster cluster = topToBottom[layer].ReadEntry(_table[at], _claims[layer]);
                if (cluster.Allocation != Qcow2Allocation.Unallocated && _seen[at].Allocation == Qcow2Allocation.Unallocated)
                {
                    _seen[at] = cluster;
                    _owner[at] = checked((ushort)layer);
                    any = true;
                }
            }
        }

        return any;
    }

    private void CopyContent(int index, int entries, byte[] buffer, CancellationToken cancellationToken)
    {
        int count = 0;
        for (int at = 0; at < entries; at++)
        {
            switch (_seen[at].Allocation)
            {
                case Qcow2Allocation.Zero:
                    MarkZero(at);
                    break;
                case Qcow2Allocation.Data:
                    _batch[count++] = at;
                    if (count == BatchClusters)
                    {
                        CopyBatch(index, count, buffer, cancellationToken);
                        count = 0;
                    }

                    break;
                default:
                    break;
            }
        }

        if (count > 0)
        {
            CopyBatch(index, count, buffer, cancellationToken);
        }
    }

    /// <summary>Reads clusters, each stretch that is in one piece at once, and appends those that are not zero.</summary>
    private void CopyBatch(int index, int count, byte[] buffer, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        for (int first = 0; first < count;)
        {
            int at = _batch[first], length = 1;
            while (first + length < count && Follows(at, _batch[first + length], length))
            {
                length++;
            }

            topToBottom[_owner[at]].ReadContent(buffer.AsSpan(first * ClusterSize, length * ClusterSize), _seen[at].FileOffset);
            first += length;
        }

        ClearBehindDisk(index, count, buffer);
        for (int first = 0; first < count;)
        {
            int length = 0;
            while (first + length < count && buffer.AsSpan((first + length) * ClusterSize, ClusterSize).ContainsAnyExcept((byte)0))
            {
                length++;
            }

            if (length == 0)
            {
                MarkZero(_batch[first]);
                first++;
                continue;
            }

            long offset = _writer.Append(buffer.AsSpan(first * ClusterSize, length * ClusterSize));
            for (int at = 0; at < length; at++)
            {
                _result[_batch[first + at]] = Qcow2Cluster.EntryAt(offset + ((long)at * ClusterSize));
            }

            _data += (long)length * ClusterSize;
            first += length;
        }

        _done += (long)count * ClusterSize;
        progress?.Report(_done);
    }

    private bool Follows(int first, int next, int distance) =>
        _owner[next] == _owner[first] && _seen[next].FileOffset == _seen[first].FileOffset + ((long)distance * ClusterSize);

    /// <summary>The disk may end within its last cluster; what a layer has behind that is nobody's.</summary>
    private void ClearBehindDisk(int index, int count, byte[] buffer)
    {
        long offset = (index * Qcow2Header.BytesPerL2) + ((long)_batch[count - 1] * ClusterSize);
        int inside = (int)Math.Min(ClusterSize, topToBottom[0].VirtualBytes - offset);
        buffer.AsSpan(((count - 1) * ClusterSize) + inside, ClusterSize - inside).Clear();
    }

    private void MarkZero(int at)
    {
        _result[at] = Qcow2Cluster.ZeroEntry;
        _zero += ClusterSize;
    }
}
