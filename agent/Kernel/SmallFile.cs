using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>Reads and writes small files, such as those of /proc and /sys, with direct system calls.</summary>
internal static class SmallFile
{
    /// <summary>Reads at most as much as <paramref name="buffer"/> holds. Never blocks on a FIFO.</summary>
    /// <returns>Bytes read, or -1 with the errno of the call that failed.</returns>
    internal static int Read(int directory, ReadOnlySpan<byte> path, Span<byte> buffer)
    {
        int fd = Libc.OpenAt(directory, path, Linux.O_RDONLY | Linux.O_CLOEXEC | Linux.O_NONBLOCK | Linux.O_NOCTTY, 0);
        if (fd < 0)
        {
            return -1;
        }

        int total = 0;
        while (total < buffer.Length)
        {
            nint n = Libc.Read(fd, buffer[total..], (nuint)(buffer.Length - total));
            if (n <= 0)
            {
                total = n < 0 && total == 0 ? -1 : total;
                break;
            }

            total += (int)n;
        }

        _ = Libc.Close(fd);
        return total;
    }

    /// <summary>Writes a file that exists, with one write, as control files want it.</summary>
    /// <returns>Whether that succeeded; if not, the thread's last errno says why.</returns>
    internal static bool Write(int directory, ReadOnlySpan<byte> path, ReadOnlySpan<byte> content) =>
        Write(directory, path, content, Linux.O_WRONLY, 0);

    /// <summary>Makes or replaces a file with one write.</summary>
    internal static bool Create(int directory, ReadOnlySpan<byte> path, ReadOnlySpan<byte> content, uint mode) =>
        Write(directory, path, content, Linux.O_WRONLY | Linux.O_CREAT | Linux.O_TRUNC | Linux.O_NOFOLLOW | Linux.O_NONBLOCK, mode);

    private static bool Write(int directory, ReadOnlySpan<byte> path, ReadOnlySpan<byte> content, int flags, uint mode)
    {
        int fd = Libc.OpenAt(directory, path, flags | Linux.O_CLOEXEC | Linux.O_NOCTTY, mode);
        if (fd < 0)
        {
            return false;
        }

        bool ok = Libc.Write(fd, content, (nuint)content.Length) == content.Length;
        int errno = System.Runtime.InteropServices.Marshal.GetLastPInvokeError();
        _ = Libc.Close(fd);
        System.Runtime.InteropServices.Marshal.SetLastPInvokeError(errno);
        return ok;
    }
}
