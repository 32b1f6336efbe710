using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>chroot(2). <paramref name="path"/> ends in NUL.</summary>
    [LibraryImport("libc", EntryPoint = "chroot", SetLastError = true)]
    internal static partial int ChRoot(ReadOnlySpan<byte> path);
}
