using System.Text;
using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>Lines on /dev/console, the guest's serial line. For boot and for defects: nothing is written in ordinary work.</summary>
internal static class KernelConsole
{
    private const int MaxLine = 1024;
    private static int s_fd = -1;

    /// <summary>Opens the console. Call once, when /dev is there.</summary>
    internal static void Open() => s_fd = Libc.Open("/dev/console"u8, Linux.O_WRONLY | Linux.O_NOCTTY | Linux.O_CLOEXEC | Linux.O_NONBLOCK, 0);

    /// <summary>Writes one line. Control characters, which may come from the guest's users, are replaced.</summary>
    internal static void WriteLine(string text)
    {
        Span<char> line = stackalloc char[Math.Min(text.Length, MaxLine) + 2];
        int length = Math.Min(text.Length, MaxLine);
        for (int i = 0; i < length; i++)
        {
            line[i] = char.IsControl(text[i]) ? '?' : text[i];
        }

        line[length++] = '\r';
        line[length++] = '\n';
        Span<byte> bytes = stackalloc byte[3 * line.Length];
        int count = Encoding.UTF8.GetBytes(line[..length], bytes);

        // Whether the line arrives is up to the host: there is nobody else to tell.
        _ = Libc.Write(s_fd, bytes, (nuint)count);
    }
}
