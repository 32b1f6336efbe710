using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>prlimit(2) of the calling process.</summary>
    [LibraryImport("libc", EntryPoint = "prlimit", SetLastError = true)]
    internal static partial int PrLimit(int pid, int resource, in ResourceLimit limit, nint old);
}
