using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static unsafe partial class Libc
{
    /// <summary>posix_spawn(3) with this process's descriptors and without attributes. Returns the error number.</summary>
    [LibraryImport("libc", EntryPoint = "posix_spawn")]
    internal static partial int PosixSpawn(out int pid, byte* path, nint actions, nint attributes, byte** arguments, byte** environment);
}
