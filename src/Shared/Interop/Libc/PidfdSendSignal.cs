using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    internal const int SIGKILL = 9;
    internal const int SIGTERM = 15;
    private const int SYS_pidfd_send_signal = 424;

    /// <summary>pidfd_send_signal(2): never reaches a process that reuses the number.</summary>
    internal static int PidfdSendSignal(SafeFileHandle pidfd, int signal)
    {
        bool held = false;
        try
        {
            pidfd.DangerousAddRef(ref held);
            return (int)Syscall(SYS_pidfd_send_signal, pidfd.DangerousGetHandle(), signal, 0, 0);
        }
        finally
        {
            if (held)
            {
                pidfd.DangerousRelease();
            }
        }
    }
}
