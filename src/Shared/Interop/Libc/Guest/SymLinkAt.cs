using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>symlinkat(2). Both paths end in NUL.</summary>
    [LibraryImport("libc", EntryPoint = "symlinkat", SetLastError = true)]
    internal static partial int SymLinkAt(ReadOnlySpan<byte> target, int directory, ReadOnlySpan<byte> path);
}
