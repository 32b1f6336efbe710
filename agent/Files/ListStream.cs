using System.Buffers;
using System.Runtime.InteropServices;
using System.Text;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// Sends the entries of a directory, or those that match a glob, each as a line of JSON, in the order in which the file system has them. A
/// name that is not UTF-8 appears with replacement characters, which say that it exists; no path can address it. Symbolic links are not
/// followed below the path.
/// </summary>
internal sealed class ListStream : LineStream
{
    private const int MaxDepth = 64;
    private const int DefaultMaxCount = 10_000;
    private const int MaxMaxCount = 1_000_000;

    private readonly string _path;
    private readonly int _depth;
    private readonly GlobPattern? _pattern;
    private readonly bool _allKinds = true;
    private readonly bool _skipHidden;
    private readonly int _maxCount = int.MaxValue;
    private (IReadOnlyDictionary<uint, string> Users, IReadOnlyDictionary<uint, string> Groups) _names;
    private int _count;
    private int _unreadable;
    private bool _truncated;

    internal ListStream(BulkLoop loop, uint id, FileRequest request)
        : base(loop, id)
    {
        _path = GuestPath.Check(request.Path);
        _depth = CheckDepth(request.Depth) ?? 1;
    }

    internal ListStream(BulkLoop loop, uint id, SearchRequest request)
        : base(loop, id)
    {
        if (request.MaxCount is < 1 or > MaxMaxCount)
        {
            GuestException.ThrowInvalid($"maxCount: 1 to {MaxMaxCount}");
        }

        _path = GuestPath.Check(request.Path);
        _depth = CheckDepth(request.Depth) ?? MaxDepth;
        _pattern = GlobPattern.Parse(request.Pattern);
        _allKinds = request.AllKinds;
        _skipHidden = request.SkipHidden;
        _maxCount = request.MaxCount ?? DefaultMaxCount;
    }

    protected override void Work(FrameBuffer output)
    {
        int fd = GuestException.Check(
            GuestFile.Open(TrustedMounts.Anywhere(_path), Linux.O_RDONLY | Linux.O_DIRECTORY | Linux.O_NONBLOCK), "open directory " + _path);
        output.AddJson(FrameType.Started, Id, new StartedReply(), ProtocolJsonContext.Default.StartedReply);
        _names = Loop.Commands.Users.Names();
        if ((List(fd, string.Empty, _depth, output) || _truncated) && SendLines(output))
        {
            var result = new ListResult { Count = _count, Unreadable = _unreadable, Truncated = _truncated };
            Answer(output, FrameType.Result, result, ProtocolJsonContext.Default.ListResult);
        }
    }

    private static int? CheckDepth(int? depth)
    {
        if (depth is < 1 or > MaxDepth)
        {
            GuestException.ThrowInvalid($"depth: 1 to {MaxDepth}");
        }

        return depth;
    }

    /// <summary>Lists one directory and closes it.</summary>
    /// <param name="fd">The directory.</param>
    /// <param name="below">Its path below the one that was asked for, with a slash at the end unless it is that one.</param>
    /// <param name="depth">Levels to go.</param>
    /// <param name="output">The worker's frames.</param>
    /// <returns>Whether to go on.</returns>
    private bool List(int fd, string below, int depth, FrameBuffer output)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(16 * 1024);
        try
        {
            while (true)
            {
                nint count = Libc.GetDents64(fd, buffer, (nuint)buffer.Length);
                if (count <= 0)
                {
                    _unreadable += count < 0 ? 1 : 0;
                    return !IsClosed;
                }

                var entries = new DirectoryEntries(buffer.AsSpan(0, (int)count));
                while (entries.Next(out ReadOnlySpan<byte> name))
                {
                    if ((!_skipHidden || name[0] != (byte)'.') && !ListEntry(fd, name, below, depth, output))
                    {
                        return false;
                    }
                }
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
            _ = Libc.Close(fd);
        }
    }

    private bool ListEntry(int directory, ReadOnlySpan<byte> name, string below, int depth, FrameBuffer output)
    {
        if (Libc.Statx(directory, name, Linux.AT_SYMLINK_NOFOLLOW, GuestFile.FullMask, out StatxBuffer stat) < 0)
        {
            return true; // removed while the directory was read
        }

        uint type = stat.Mode & Linux.S_IFMT;
        string lastName = Encoding.UTF8.GetString(name[..^1]);
        string relative = below + lastName;
        if (IsWanted(type, lastName, relative) && !Send(directory, name, stat, relative, output))
        {
            return false;
        }

        if (type != Linux.S_IFDIR || depth == 1)
        {
            return true;
        }

        int deeper = Libc.OpenAt(
            directory, name, Linux.O_RDONLY | Linux.O_DIRECTORY | Linux.O_NOFOLLOW | Linux.O_NONBLOCK | Linux.O_CLOEXEC, 0);
        if (deeper < 0)
        {
            _unreadable += Marshal.GetLastPInvokeError() == Errno.ENOENT ? 0 : 1;
            return true;
        }

        return List(deeper, relative + "/", depth - 1, output);
    }

    private bool IsWanted(uint type, string name, string relative) =>
        (_allKinds || type == Linux.S_IFREG) && (_pattern is null || _pattern.IsMatch(_pattern.MatchesPaths ? relative : name));

    private bool Send(int directory, ReadOnlySpan<byte> name, in StatxBuffer stat, string relative, FrameBuffer output)
    {
        if (_count == _maxCount)
        {
            _truncated = true;
            return false;
        }

        string? target = (stat.Mode & Linux.S_IFMT) == Linux.S_IFLNK ? GuestFile.LinkTarget(directory, name) : null;
        FileEntry entry = GuestFile.Entry(stat, (_path == "/" ? "/" : _path + "/") + relative, target) with
        {
            Details = GuestFile.Details(stat, _names),
        };
        _count++;
        return AddLine(output, entry, ProtocolJsonContext.Default.FileEntry);
    }
}
