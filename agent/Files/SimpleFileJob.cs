using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>Stat, mkdir and remove: one answer, no data.</summary>
internal sealed class SimpleFileJob : FileJob
{
    private readonly string _operation;
    private readonly FileRequest _request;

    internal SimpleFileJob(BulkLoop loop, uint id, string operation, FileRequest request)
        : base(loop, id)
    {
        _operation = operation;
        _request = request;
        _ = GuestPath.Check(request.Path);
    }

    /// <summary>Answers a stat of a path on trusted mounts. Loop's side.</summary>
    /// <returns>Whether it was answered; if not, a worker must.</returns>
    internal bool TryInline()
    {
        if (_operation != Operations.Stat)
        {
            return false;
        }

        long before = ClockTicks.Microseconds;
        string path = GuestPath.Check(_request.Path);
        FileEntry? entry = Stat(Loop.Files.Mounts.Confine(path), path, mayHang: false);
        if (entry is null)
        {
            return false;
        }

        var result = new FileResult { File = entry, FileMicroseconds = ClockTicks.Microseconds - before };
        Loop.Finish(this, result, ProtocolJsonContext.Default.FileResult);
        return true;
    }

    protected override void Work(FrameBuffer output)
    {
        long before = ClockTicks.Microseconds;
        FileEntry? entry = null;
        switch (_operation)
        {
            case Operations.Stat:
                string path = GuestPath.Check(_request.Path);
                entry = Stat(TrustedMounts.Anywhere(path), path, mayHang: true);
                break;
            case Operations.MakeDirectory:
                entry = DirectoryMaker.Make(_request, Loop.Commands.Users);
                break;
            default:
                TreeRemover.Remove(_request, () => IsClosed);
                break;
        }

        var result = new FileResult { File = entry, FileMicroseconds = ClockTicks.Microseconds - before };
        Answer(output, FrameType.Result, result, ProtocolJsonContext.Default.FileResult);
    }

    private FileEntry? Stat(PathBase at, string path, bool mayHang)
    {
        int fd = GuestFile.Open(at, Linux.O_PATH | Linux.O_NOFOLLOW);
        if (fd < 0)
        {
            return !mayHang && GuestFile.LeftTheMount() ? null : throw GuestException.LastError("stat " + path);
        }

        try
        {
            return GuestFile.DescribeFully(fd, path, Loop.Commands.Users);
        }
        finally
        {
            _ = Libc.Close(fd);
        }
    }
}
