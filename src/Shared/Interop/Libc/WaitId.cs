using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static unsafe partial class Libc
{
    internal const int P_PIDFD = 3;
    internal const int WNOHANG = 1;
    internal const int WEXITED = 4;
    internal const int CLD_EXITED = 1;

    /// <summary>siginfo_t as waitid(2) fills it on x86-64: 128 bytes.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 128)]
    internal struct SigInfo
    {
        [FieldOffset(0)]
        internal int Signal;

        [FieldOffset(8)]
        internal int Code;

        [FieldOffset(16)]
        internal int Pid;

        [FieldOffset(24)]
        internal int Status;
    }

    /// <summary>waitid(2).</summary>
    [LibraryImport("libc", EntryPoint = "waitid", SetLastError = true)]
    internal static partial int WaitId(int idType, SafeHandle id, SigInfo* info, int options);
}
