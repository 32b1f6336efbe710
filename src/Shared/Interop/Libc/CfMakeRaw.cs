using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>cfmakeraw(3): no echo, no lines, no signals, no translation. Cannot fail.</summary>
    [LibraryImport("libc", EntryPoint = "cfmakeraw")]
    internal static partial void CfMakeRaw(Span<byte> termios);
}
