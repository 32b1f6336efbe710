using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static unsafe partial class Libc
{
    internal const long TMPFS_MAGIC = 0x01021994;
    internal const long CGROUP_SUPER_MAGIC = 0x27e0eb;
    internal const long CGROUP2_SUPER_MAGIC = 0x63677270;

    private const int StatFsBytes = 256; // the structure has 120

    /// <summary>statfs(2): what kind of file system a path is on.</summary>
    /// <returns>The kernel's magic number, or null and errno.</returns>
    internal static long? FileSystemOf(string path)
    {
        // JUSTIFICATION: the kind of a file system is to be had from no managed call that does not guess by mount tables.
        // SAFETY: the buffer is larger than the structure, whose first field is the magic number.
        long* buffer = stackalloc long[StatFsBytes / sizeof(long)];
        return StatFs(path, buffer) == 0 ? buffer[0] : null;
    }

    [LibraryImport("libc", EntryPoint = "statfs", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int StatFs(string path, void* buffer);
}
