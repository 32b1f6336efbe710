using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>The managed processes, running and ended, and who waits for their end. Belongs to the bulk loop's thread.</summary>
internal sealed class ProcessTable
{
    internal const int DefaultRingBytes = 1 << 20;
    internal const int MinRingBytes = 4 << 10;
    internal const int MaxRingBytes = 16 << 20;
    private const int MaxRunning = 512;
    private const int MaxEnded = 64;
    private const long KeepMilliseconds = 5 * 60 * 1000;
    private const long MaxSharedRingBytes = 64 << 20;

    private readonly Dictionary<uint, ManagedProcess> _all = [];
    private readonly LinkedList<ManagedProcess> _ended = new();
    private readonly Dictionary<uint, List<ProcessWait>> _waits = [];
    private RingMemory? _memory;

    /// <summary>Memory of the rings: at most an eighth of the machine's at the time of the first start.</summary>
    internal RingMemory Memory => _memory ??= new RingMemory((int)(Math.Min(MaxSharedRingBytes, GuestMemory.TotalBytes() / 8) / RingChunk.Size));

    /// <summary>All managed processes, running and ended.</summary>
    internal IReadOnlyCollection<ManagedProcess> All => _all.Values;

    /// <summary>When <see cref="Expire"/> has something to do, milliseconds of <see cref="ClockTicks"/>.</summary>
    internal long NextExpiry
    {
        get
        {
            foreach (ManagedProcess process in _ended)
            {
                if (!process.IsRead)
                {
                    return process.EndedAt + KeepMilliseconds;
                }
            }

            return long.MaxValue;
        }
    }

    /// <summary>Refuses a process too many.</summary>
    internal void MakeRoom()
    {
        if (_all.Count - _ended.Count >= MaxRunning)
        {
            throw GuestException.Coded(AgentErrorCodes.LimitReached, $"more than {MaxRunning} processes run");
        }
    }

    /// <summary>Takes a process in.</summary>
    internal void Add(ManagedProcess process) => _all.Add(process.Key, process);

    /// <summary>Finds a process.</summary>
    internal ManagedProcess? Find(uint key) => _all.GetValueOrDefault(key);

    /// <summary>Waits for a process's end with a stream.</summary>
    internal void Wait(ManagedProcess process, ProcessWait wait)
    {
        if (process.Result is { } result)
        {
            wait.Finish(result);
            return;
        }

        if (!_waits.TryGetValue(process.Key, out List<ProcessWait>? waits))
        {
            _waits.Add(process.Key, waits = []);
        }

        waits.Add(wait);
    }

    /// <summary>A stream does not wait any more.</summary>
    internal void StopWaiting(uint key, ProcessWait wait)
    {
        if (_waits.TryGetValue(key, out List<ProcessWait>? waits) && waits.Remove(wait) && waits.Count == 0)
        {
            _waits.Remove(key);
        }
    }

    /// <summary>A process has ended.</summary>
    internal void OnEnded(ManagedProcess process)
    {
        _ended.AddLast(process);
        if (_waits.Remove(process.Key, out List<ProcessWait>? waits))
        {
            foreach (ProcessWait wait in waits)
            {
                wait.Finish(process.Result!);
            }
        }

        Trim();
    }

    /// <summary>A reader has left: if it was the last one of an ended process, that may be forgotten now.</summary>
    internal void OnReaderGone(ManagedProcess process)
    {
        if (process.Result is not null)
        {
            Trim();
        }
    }

    /// <summary>Forgets processes that ended long ago and that nobody reads.</summary>
    internal void Expire(long now)
    {
        for (LinkedListNode<ManagedProcess>? node = _ended.First; node is not null && node.Value.EndedAt + KeepMilliseconds <= now;)
        {
            LinkedListNode<ManagedProcess>? next = node.Next;
            if (!node.Value.IsRead)
            {
                Forget(node);
            }

            node = next;
        }
    }

    /// <summary>Gives all memory back. The processes must be over.</summary>
    internal void Close()
    {
        while (_ended.First is { } node)
        {
            Forget(node);
        }

        _memory?.Close();
    }

    private void Trim()
    {
        int unread = 0;
        foreach (ManagedProcess process in _ended)
        {
            unread += process.IsRead ? 0 : 1;
        }

        for (LinkedListNode<ManagedProcess>? node = _ended.First; node is not null && unread > MaxEnded;)
        {
            LinkedListNode<ManagedProcess>? next = node.Next;
            if (!node.Value.IsRead)
            {
                Forget(node);
                unread--;
            }

            node = next;
        }
    }

    private void Forget(LinkedListNode<ManagedProcess> node)
    {
        _ended.Remove(node);
        _all.Remove(node.Value.Key);
        node.Value.Ring.Free();
    }
}
