using System.Text;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Cli.Running;
using OpenSandbox.Interop;

namespace OpenSandbox.Cli.Keeping;

/// <summary>
/// The log of a keeper in the background. It takes the place of standard output and error, so that also what the runtime says when it dies
/// is in it. It is bounded: a full one starts anew.
/// </summary>
internal sealed class KeeperLog : IDisposable
{
    /// <summary>Size of a full log, bytes.</summary>
    internal const int MaxBytes = 1 << 20;

    private const int TailBytes = 4_096;
    private const int Append = 0x400;
    private readonly SafeFileHandle _file;
    private readonly Lock _gate = new();

    private KeeperLog(SafeFileHandle file, string path)
    {
        _file = file;
        Path = path;
    }

    /// <summary>The file, under its current name.</summary>
    internal string Path { get; private set; }

    /// <summary>Makes an empty log, and puts it in the place of standard output and error; standard input becomes empty.</summary>
    internal static KeeperLog TakeOver(string path)
    {
        SafeFileHandle file = Libc.Open(path, Libc.O_WRONLY | Libc.O_CREAT | Libc.O_TRUNC | Append | Libc.O_CLOEXEC | Libc.O_NOFOLLOW, 0x180);
        if (file.IsInvalid)
        {
            throw Errno.LastError($"open {path}");
        }

        using SafeFileHandle nothing = Libc.Open("/dev/null", Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
        Replace(StandardStreams.Input, nothing, "/dev/null");
        Replace(StandardStreams.Output, file, path);
        Replace(StandardStreams.Error, file, path);
        return new KeeperLog(file, path);
    }

    /// <summary>Writes bytes, lines as a rule. What cannot be written is lost: there is no other place for it.</summary>
    internal void Write(byte[] bytes)
    {
        lock (_gate)
        {
            try
            {
                if (RandomAccess.GetLength(_file) + bytes.Length > MaxBytes)
                {
                    RandomAccess.SetLength(_file, 0);
                    StandardStreams.Write(StandardStreams.Error, "opensandbox: what was here before has been dropped: the log was full\n"u8);
                }

                StandardStreams.Write(StandardStreams.Error, bytes);
            }
            catch (IOException)
            {
                // The disk is full, for example.
                return;
            }
        }
    }

    /// <summary>Writes a line with the time.</summary>
    internal void Line(string text) =>
        Write(Encoding.UTF8.GetBytes($"{TimeProvider.System.GetUtcNow():yyyy-MM-ddTHH:mm:ssZ} {Reporting.ErrorWriter.OneLine(text)}\n"));

    /// <summary>Gives the file another name.</summary>
    internal void Rename(string path)
    {
        File.Move(Path, path, overwrite: true);
        Path = path;
    }

    /// <summary>The end of a log.</summary>
    internal static string ReadTail(string path)
    {
        using SafeFileHandle file = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        byte[] tail = new byte[TailBytes];
        int count = RandomAccess.Read(file, tail, Math.Max(0, RandomAccess.GetLength(file) - TailBytes));
        return Encoding.UTF8.GetString(tail, 0, count).TrimEnd();
    }

    public void Dispose() => _file.Dispose();

    private static void Replace(int descriptor, SafeFileHandle with, string path)
    {
        if (with.IsInvalid || Libc.Dup2(with, descriptor) < 0)
        {
            throw Errno.LastError($"dup2 {path}");
        }
    }
}
