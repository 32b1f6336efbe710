using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static unsafe partial class Libc
{
    internal const int MADV_PAGEOUT = 21;

    private const long SYS_process_madvise = 440;

    /// <summary>process_madvise(2): gives advice about memory of another process. Returns the bytes advised on, or -1.</summary>
    internal static long ProcessMAdvise(SafeHandle pidfd, IoVec* runs, nuint count, int advice)
    {
        bool held = false;
        try
        {
            pidfd.DangerousAddRef(ref held);
            return SyscallFive(SYS_process_madvise, pidfd.DangerousGetHandle(), (nint)runs, (nint)count, advice, 0);
        }
        finally
        {
            if (held)
            {
                pidfd.DangerousRelease();
            }
        }
    }

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial long SyscallFive(long number, long first, long second, long third, long fourth, long fifth);
}
