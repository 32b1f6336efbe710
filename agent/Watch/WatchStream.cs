using System.Buffers;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// Sends what happens to files, as lines of JSON. The loop reads the kernel's queue while the host has room for what comes of it; when it
/// has none, the queue fills up in the kernel, which says so when it runs over. Directories are looked through on a worker's thread, for
/// that may hang; meanwhile the queue is not read, so that no event comes of a watch that is not known yet.
/// </summary>
internal sealed class WatchStream : FileJob
{
    private const int DefaultMaxWatches = 8_192;
    private const int MaxMaxWatches = 65_536;
    private const int ReadBytes = 8 * 1024;

    private readonly WatchedTree _tree;
    private readonly bool _recursive;
    private readonly byte[] _read = new byte[ReadBytes];
    private readonly ArrayBufferWriter<byte> _lines = new(ProtocolConstants.MaxPayloadSize);
    private readonly ReplyWriter _json = new();
    private readonly List<(string Path, bool Announce)> _toScan = [];
    private readonly List<WatchEvent> _scanned = [];
    private readonly Dictionary<uint, string> _movedAway = [];
    private int _sent;
    private int _room = ProtocolConstants.CreditWindow;
    private Exception? _failure;
    private WatchEvent? _last;
    private bool _started;
    private bool _scanning = true; // its worker has the tree
    private bool _armed;
    private bool _ending;

    internal WatchStream(BulkLoop loop, uint id, WatchRequest request)
        : base(loop, id)
    {
        if (request.MaxWatches is < 1 or > MaxMaxWatches)
        {
            GuestException.ThrowInvalid($"maxWatches: 1 to {MaxMaxWatches}");
        }

        _tree = new WatchedTree(GuestPath.Check(request.Path), request.MaxWatches ?? DefaultMaxWatches);
        _recursive = request.Recursive;
    }

    internal override void OnCredit(int bytes)
    {
        _room = Math.Min(_room + bytes, ProtocolConstants.CreditWindow);
        Continue();
    }

    internal override void OnCancel()
    {
        base.OnCancel();
        Release();
    }

    internal override void OnSessionLost()
    {
        base.OnSessionLost();
        Release();
    }

    /// <summary>The kernel has events. Loop's side.</summary>
    internal void OnReadable()
    {
        if (IsClosed || _scanning || !_armed)
        {
            return;
        }

        nint count = Libc.Read(_tree.Fd, _read, (nuint)_read.Length);
        if (count <= 0)
        {
            return; // taken already; the next one wakes again
        }

        var events = new INotifyEvents(_read.AsSpan(0, (int)count));
        while (events.Next() && !_ending)
        {
            Handle(events);
        }

        if (_movedAway.Count > 0 && count < ReadBytes / 2)
        {
            // The second half of a move follows the first at once. What has none has left the tree.
            foreach (string path in _movedAway.Values)
            {
                _tree.Remove(path);
            }

            _movedAway.Clear();
        }

        Continue();
    }

    protected override void Work(FrameBuffer output)
    {
        try
        {
            bool isDirectory = _started || _tree.Start();
            if (!_started && isDirectory && _recursive)
            {
                _toScan.Add((_tree.Root, false));
            }

            foreach ((string path, bool announce) in _toScan)
            {
                _tree.AddTree(path, _scanned, announce, () => IsClosed);
            }

            if (!_started && _scanned.Find(static told => told.Kind == "limit") is { } limit)
            {
                throw GuestException.Coded(AgentErrorCodes.LimitReached, $"{limit.Path}: no more directories can be watched");
            }
        }
        catch (Exception exception)
        {
            _failure = exception; // the request's answer, given by the loop
        }

        Loop.Post(OnScanned);
    }

    private void OnScanned()
    {
        _scanning = false;
        _toScan.Clear();
        if (IsClosed)
        {
            Release();
            return;
        }

        if (_failure is not null)
        {
            Loop.Fail(this, AgentErrors.From(_failure));
            Release();
            return;
        }

        if (!_started)
        {
            _started = true;
            Loop.SendStarted(Id, new StartedReply());
            Loop.NoteOutput();
        }

        foreach (WatchEvent found in _scanned)
        {
            Tell(found);
        }

        _scanned.Clear();
        Continue();
    }

    /// <summary>Sends what there is room for, and then goes on to whatever is next.</summary>
    private void Continue()
    {
        if (IsClosed || _scanning)
        {
            return; // the worker's end comes back here
        }

        bool allSent = SendLines();
        if (allSent && _ending)
        {
            Loop.Finish(this, new FileResult(), ProtocolJsonContext.Default.FileResult);
            Release();
            return;
        }

        if (allSent && _toScan.Count > 0)
        {
            Arm(false);
            Scan();
            return;
        }

        Arm(allSent);
    }

    private void Scan()
    {
        try
        {
            _scanning = true;
            Loop.Files.Submit(this);
        }
        catch (GuestException exception)
        {
            _scanning = false;
            Loop.Fail(this, AgentErrors.From(exception));
            Release();
        }
    }

    private void Arm(bool armed)
    {
        if (armed == _armed)
        {
            return;
        }

        _armed = armed;
        if (armed)
        {
            Loop.Events.Add(_tree.Fd, Linux.EPOLLIN, EventKind.Watch, Id);
        }
        else
        {
            Loop.Events.Remove(_tree.Fd);
        }
    }

    private void Release()
    {
        if (!_scanning)
        {
            _armed = false; // closing takes it out of the epoll
            _tree.Close();
        }
    }

    private void Handle(in INotifyEvents happened)
    {
        uint mask = happened.Mask;
        if ((mask & Linux.IN_Q_OVERFLOW) != 0)
        {
            Tell(new WatchEvent { Kind = "overflow" });
            if (_recursive)
            {
                _toScan.Add((_tree.Root, false)); // directories may have come that nobody told of
            }

            return;
        }

        if (!_tree.TryGetPath(happened.Watch, out string path))
        {
            return; // of a watch that has been removed
        }

        bool isRoot = happened.Watch == _tree.RootWatch;
        if (happened.Name.Length == 0)
        {
            HandleSelf(mask, happened.Watch, path, isRoot);
            return;
        }

        bool directory = (mask & Linux.IN_ISDIR) != 0;
        path = (path == "/" ? "/" : path + "/") + happened.Name;
        string? kind = KindOf(mask);
        if (kind is not null)
        {
            Tell(new WatchEvent { Kind = kind, Path = path, Directory = directory, Cookie = happened.Cookie });
        }

        if (directory && _recursive)
        {
            FollowDirectory(mask, happened.Cookie, path);
        }
    }

    /// <summary>What happens to a watched file or directory itself: its parent tells the same, unless it is the root.</summary>
    private void HandleSelf(uint mask, int watch, string path, bool isRoot)
    {
        if (isRoot)
        {
            string? kind = (mask & Linux.IN_MOVE_SELF) != 0 ? "moved_from"
                : (mask & (Linux.IN_DELETE_SELF | Linux.IN_UNMOUNT)) != 0 ? "deleted"
                : KindOf(mask);
            if (kind is not null)
            {
                Tell(new WatchEvent { Kind = kind, Path = path, Directory = (mask & Linux.IN_ISDIR) != 0 });
            }

            _ending |= (mask & (Linux.IN_MOVE_SELF | Linux.IN_DELETE_SELF | Linux.IN_UNMOUNT | Linux.IN_IGNORED)) != 0;
        }

        if ((mask & Linux.IN_IGNORED) != 0)
        {
            _tree.Forget(watch);
        }
    }

    private void FollowDirectory(uint mask, uint cookie, string path)
    {
        if ((mask & Linux.IN_MOVED_FROM) != 0)
        {
            _movedAway[cookie] = path;
        }
        else if ((mask & Linux.IN_MOVED_TO) != 0)
        {
            if (_movedAway.Remove(cookie, out string? from))
            {
                _tree.Rename(from, path);
            }
            else
            {
                _toScan.Add((path, false));
            }
        }
        else if ((mask & Linux.IN_CREATE) != 0)
        {
            _toScan.Add((path, true));
        }
    }

    private static string? KindOf(uint mask) =>
        (mask & Linux.IN_CREATE) != 0 ? "created"
        : (mask & Linux.IN_MODIFY) != 0 ? "modified"
        : (mask & Linux.IN_CLOSE_WRITE) != 0 ? "written"
        : (mask & Linux.IN_ATTRIB) != 0 ? "attributes"
        : (mask & Linux.IN_MOVED_FROM) != 0 ? "moved_from"
        : (mask & Linux.IN_MOVED_TO) != 0 ? "moved_to"
        : (mask & Linux.IN_DELETE) != 0 ? "deleted"
        : null;

    private void Tell(WatchEvent told)
    {
        if (told == _last && told.Kind is "modified" or "attributes" && _lines.WrittenCount > _sent)
        {
            return; // the host has not even been told of the last one
        }

        _last = told;
        _lines.Write(_json.Write(told, ProtocolJsonContext.Default.WatchEvent));
        _lines.Write("\n"u8);
    }

    /// <returns>Whether nothing is left to send.</returns>
    private bool SendLines()
    {
        while (_sent < _lines.WrittenCount)
        {
            int count = Math.Min(Math.Min(_lines.WrittenCount - _sent, _room), ProtocolConstants.MaxPayloadSize);
            if (count == 0)
            {
                return false;
            }

            Loop.Out.Add(FrameType.Data, (byte)DataChannel.Content, Id, _lines.WrittenSpan.Slice(_sent, count));
            Loop.NoteOutput();
            _sent += count;
            _room -= count;
        }

        _lines.ResetWrittenCount();
        _sent = 0;
        return true;
    }
}
