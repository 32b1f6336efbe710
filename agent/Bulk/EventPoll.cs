using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>The epoll of the bulk loop. A tag is an <see cref="EventKind"/> and 32 bits of the caller's.</summary>
internal sealed class EventPoll
{
    private const int BatchSize = 64;

    private readonly EpollEvent[] _batch = new EpollEvent[BatchSize];
    private readonly int _fd = GuestException.Check(Libc.EpollCreate1(Linux.EPOLL_CLOEXEC), "epoll_create1");

    /// <summary>The events of the last <see cref="Wait"/>.</summary>
    internal ReadOnlySpan<EpollEvent> Batch => _batch.AsSpan(0, _count);

    private int _count;

    /// <summary>The kind in a tag.</summary>
    internal static EventKind KindOf(ulong tag) => (EventKind)(tag >> 56);

    /// <summary>The caller's 32 bits in a tag.</summary>
    internal static uint KeyOf(ulong tag) => (uint)tag;

    /// <summary>Watches a descriptor.</summary>
    internal void Add(int fd, uint events, EventKind kind, uint key = 0)
    {
        var change = new EpollEvent { Events = events, Tag = ((ulong)kind << 56) | key };
        _ = GuestException.Check(Libc.EpollCtl(_fd, Linux.EPOLL_CTL_ADD, fd, ref change), "epoll_ctl add");
    }

    /// <summary>No longer watches a descriptor.</summary>
    internal void Remove(int fd)
    {
        var change = default(EpollEvent);
        _ = GuestException.Check(Libc.EpollCtl(_fd, Linux.EPOLL_CTL_DEL, fd, ref change), "epoll_ctl del");
    }

    /// <summary>Closes the epoll.</summary>
    internal void Close() => _ = Libc.Close(_fd);

    /// <summary>Waits for events.</summary>
    /// <param name="timeoutMilliseconds">0: do not wait; -1: without bound.</param>
    /// <returns>Whether there are any.</returns>
    internal bool Wait(int timeoutMilliseconds)
    {
        _count = Math.Max(0, Libc.EpollWait(_fd, _batch, BatchSize, timeoutMilliseconds)); // EINTR counts as no event
        return _count > 0;
    }
}
