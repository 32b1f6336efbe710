using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    private const int SYS_pidfd_open = 434;

    /// <summary>pidfd_open(2); glibc 2.36 is the first with a wrapper, so the system call is made directly.</summary>
    internal static SafeFileHandle PidfdOpen(int pid) => new((nint)Syscall(SYS_pidfd_open, pid, 0, 0, 0), ownsHandle: true);
}
