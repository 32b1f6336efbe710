using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>recvfrom(2).</summary>
    [LibraryImport("libc", EntryPoint = "recvfrom", SetLastError = true)]
    internal static partial nint RecvFrom(int socket, Span<byte> buffer, nuint count, int flags, Span<byte> address, ref uint length);
}
