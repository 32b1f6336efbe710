using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>chdir(2). <paramref name="path"/> ends in NUL.</summary>
    [LibraryImport("libc", EntryPoint = "chdir", SetLastError = true)]
    internal static partial int ChDir(ReadOnlySpan<byte> path);
}
