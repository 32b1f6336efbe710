using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static unsafe partial class Libc
{
    /// <summary>IOV_MAX: most runs that one call takes.</summary>
    internal const int MaxIoVecs = 1024;

    /// <summary>process_vm_readv(2): copies memory of another process. Needs the right to trace it.</summary>
    [LibraryImport("libc", EntryPoint = "process_vm_readv", SetLastError = true)]
    internal static partial nint ProcessVmReadV(int pid, IoVec* local, nuint localCount, IoVec* remote, nuint remoteCount, nuint flags);

    /// <summary>process_vm_writev(2): writes memory of another process. Needs the right to trace it.</summary>
    [LibraryImport("libc", EntryPoint = "process_vm_writev", SetLastError = true)]
    internal static partial nint ProcessVmWriteV(int pid, IoVec* local, nuint localCount, IoVec* remote, nuint remoteCount, nuint flags);
}
