using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>Bytes that hold a struct termios of this machine's C library (60 on x86-64).</summary>
    internal const int TermiosBytes = 64;

    /// <summary>tcgetattr(3). <paramref name="termios"/> has <see cref="TermiosBytes"/>. Fails for what is no terminal.</summary>
    [LibraryImport("libc", EntryPoint = "tcgetattr", SetLastError = true)]
    internal static partial int TcGetAttr(int fd, Span<byte> termios);
}
