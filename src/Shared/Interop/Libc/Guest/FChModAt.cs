using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>fchmodat(2), without flags. <paramref name="path"/> ends in NUL.</summary>
    [LibraryImport("libc", EntryPoint = "fchmodat", SetLastError = true)]
    internal static partial int FChModAt(int directory, ReadOnlySpan<byte> path, uint mode, int flags);
}
