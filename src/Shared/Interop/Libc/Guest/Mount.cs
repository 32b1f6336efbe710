using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>mount(2). All strings end in NUL; an empty span is a null pointer.</summary>
    [LibraryImport("libc", EntryPoint = "mount", SetLastError = true)]
    internal static partial int Mount(ReadOnlySpan<byte> source, ReadOnlySpan<byte> target, ReadOnlySpan<byte> type, ulong flags, ReadOnlySpan<byte> data);
}
