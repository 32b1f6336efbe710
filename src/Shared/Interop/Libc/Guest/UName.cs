using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>uname(2). <paramref name="name"/> takes the six fields of 65 bytes.</summary>
    [LibraryImport("libc", EntryPoint = "uname", SetLastError = true)]
    internal static partial int UName(Span<byte> name);
}
