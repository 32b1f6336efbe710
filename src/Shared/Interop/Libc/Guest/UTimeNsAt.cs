using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>utimensat(2): access and modification time. <paramref name="path"/> ends in NUL.</summary>
    [LibraryImport("libc", EntryPoint = "utimensat", SetLastError = true)]
    internal static partial int UTimeNsAt(int directory, ReadOnlySpan<byte> path, ReadOnlySpan<TimeSpec> times, int flags);
}
