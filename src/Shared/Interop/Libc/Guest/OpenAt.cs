using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>openat(2). <paramref name="path"/> ends in NUL.</summary>
    [LibraryImport("libc", EntryPoint = "openat", SetLastError = true)]
    internal static partial int OpenAt(int directory, ReadOnlySpan<byte> path, int flags, uint mode);
}
