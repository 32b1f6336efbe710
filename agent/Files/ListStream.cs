using System.Buffers;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// Sends the entries of a directory, each as a line of JSON, in the order in which the file system has them. A name that is not UTF-8
/// appears with replacement characters, which say that it exists; no path can address it. Symbolic links are not followed below the path.
/// </summary>
internal sealed class ListStream : FileJob
{
    private const int MaxDepth = 64;

    private readonly string _path;
    private readonly int _depth;
    private readonly ArrayBufferWriter<byte> _lines = new(2 * ProtocolConstants.MaxPayloadSize);
    private int _count;
    private int _unreadable;

    internal ListStream(BulkLoop loop, uint id, FileRequest request)
        : base(loop, id)
    {
        if (request.Depth is < 1 or > MaxDepth)
        {
            GuestException.ThrowInvalid($"depth: 1 to {MaxDepth}");
        }

        _path = GuestPath.Check(request.Path);
        _depth = request.Depth ?? 1;
    }

    protected override void Work(FrameBuffer output)
    {
        int fd = GuestException.Check(
            GuestFile.Open(TrustedMounts.Anywhere(_path), Linux.O_RDONLY | Linux.O_DIRECTORY | Linux.O_NONBLOCK), "open directory " + _path);
        output.AddJson(FrameType.Started, Id, new StartedReply(), ProtocolJsonContext.Default.StartedReply);
        if (List(fd, _path == "/" ? string.Empty : _path, _depth, output) && Send(output, all: true))
        {
            var result = new ListResult { Count = _count, Unreadable = _unreadable };
            Answer(output, FrameType.Result, result, ProtocolJsonContext.Default.ListResult);
        }
    }

    /// <summary>Lists one directory and closes it.</summary>
    /// <returns>Whether the stream is still open.</returns>
    private bool List(int fd, string path, int depth, FrameBuffer output)
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
                    return true;
                }

                var entries = new DirectoryEntries(buffer.AsSpan(0, (int)count));
                while (entries.Next(out ReadOnlySpan<byte> name))
                {
                    if (!ListEntry(fd, name, path, depth, output))
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

    private bool ListEntry(int directory, ReadOnlySpan<byte> name, string path, int depth, FrameBuffer output)
    {
        if (Libc.Statx(directory, name, Linux.AT_SYMLINK_NOFOLLOW, Linux.STATX_BASIC_STATS, out StatxBuffer stat) < 0)
        {
            return true; // removed while the directory was read
        }

        uint type = stat.Mode & Linux.S_IFMT;
        string entryPath = path + "/" + Encoding.UTF8.GetString(name[..^1]);
        string? target = type == Linux.S_IFLNK ? GuestFile.LinkTarget(directory, name) : null;
        _lines.Write(JsonSerializer.SerializeToUtf8Bytes(GuestFile.Entry(stat, entryPath, target), ProtocolJsonContext.Default.FileEntry));
        _lines.Write("\n"u8);
        _count++;
        if (!Send(output, all: false))
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

        return List(deeper, entryPath, depth - 1, output);
    }

    /// <summary>Sends full frames, or everything.</summary>
    private bool Send(FrameBuffer output, bool all)
    {
        if (IsClosed)
        {
            return false;
        }

        ReadOnlySpan<byte> rest = _lines.WrittenSpan;
        if (!all && rest.Length < ProtocolConstants.MaxPayloadSize)
        {
            return true;
        }

        while (!rest.IsEmpty)
        {
            int count = Math.Min(rest.Length, ProtocolConstants.MaxPayloadSize);
            if (!TakeRoom(output, count))
            {
                return false;
            }

            output.Add(FrameType.Data, (byte)DataChannel.Content, Id, rest[..count]);
            rest = rest[count..];
        }

        _lines.ResetWrittenCount();
        return true;
    }
}
