using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    private const long FInitModuleNumber = 313; // x86-64

    /// <summary>finit_module(2), for which the C library has no function. <paramref name="parameters"/> ends in NUL.</summary>
    internal static int FInitModule(int fd, ReadOnlySpan<byte> parameters, int flags) =>
        (int)FInitModuleCall(FInitModuleNumber, fd, parameters, flags);

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial long FInitModuleCall(long number, long fd, ReadOnlySpan<byte> parameters, long flags);
}
