using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>dup2(2): <paramref name="target"/> becomes another name of <paramref name="source"/>, inherited by children.</summary>
    [LibraryImport("libc", EntryPoint = "dup2", SetLastError = true)]
    internal static partial int Dup2(SafeHandle source, int target);
}
