using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>waitid(2). <paramref name="info"/> takes the 128 bytes of a siginfo_t.</summary>
    [LibraryImport("libc", EntryPoint = "waitid", SetLastError = true)]
    internal static partial int WaitId(int idType, uint id, Span<int> info, int options);
}
