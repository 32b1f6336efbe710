using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>For <see cref="TcSetAttr"/>: at once.</summary>
    internal const int TCSANOW = 0;

    /// <summary>tcsetattr(3). <paramref name="termios"/> has <see cref="TermiosBytes"/>.</summary>
    [LibraryImport("libc", EntryPoint = "tcsetattr", SetLastError = true)]
    internal static partial int TcSetAttr(int fd, int when, ReadOnlySpan<byte> termios);
}
