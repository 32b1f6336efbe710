using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>symlink(2). Both strings end in NUL.</summary>
    [LibraryImport("libc", EntryPoint = "symlink", SetLastError = true)]
    internal static partial int SymLink(ReadOnlySpan<byte> target, ReadOnlySpan<byte> path);
}
