using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>kill(2).</summary>
    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int Kill(int processId, int signal);

    /// <summary>Ends this process by SIGKILL, as the kernel's memory killer or an operator would: nothing of it runs any more.</summary>
    internal static void KillSelf() => _ = Kill(Environment.ProcessId, SIGKILL);
}
