using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static unsafe partial class Libc
{
    /// <summary>bind(2).</summary>
    [LibraryImport("libc", EntryPoint = "bind", SetLastError = true)]
    internal static partial int Bind(SafeHandle socket, byte* address, uint length);
}
