using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>fchownat(2). <paramref name="path"/> ends in NUL.</summary>
    [LibraryImport("libc", EntryPoint = "fchownat", SetLastError = true)]
    internal static partial int FChOwnAt(int directory, ReadOnlySpan<byte> path, uint owner, uint group, int flags);
}
