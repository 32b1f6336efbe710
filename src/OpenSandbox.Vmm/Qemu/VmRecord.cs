using OpenSandbox.Vmm.Isolation;

namespace OpenSandbox.Vmm.Qemu;

/// <summary>
/// What a host has to know of a detached VM to find it again, to be sure that it is the one, and to end it. Process numbers alone say
/// nothing once they have been used again: the start times, the boot and the nonce do.
/// </summary>
/// <param name="LauncherPid">Process id of the launcher that supervises QEMU, as the host sees it.</param>
/// <param name="LauncherStartTicks">When that process started: field 22 of <c>/proc/PID/stat</c>, clock ticks since the boot.</param>
/// <param name="QemuPid">Process id of QEMU, as the host sees it.</param>
/// <param name="QemuStartTicks">When that process started, as for the launcher.</param>
/// <param name="BootId">The boot that all of this is about: <c>/proc/sys/kernel/random/boot_id</c>.</param>
/// <param name="Nonce">Random text that only this VM's command lines have.</param>
/// <param name="Uid">The uid that QEMU and its launcher run under.</param>
/// <param name="RuntimeDirectory">Absolute path of the VM's own directory: its sockets, and a copy of this record.</param>
internal sealed record VmRecord(
    int LauncherPid,
    long LauncherStartTicks,
    int QemuPid,
    long QemuStartTicks,
    string BootId,
    string Nonce,
    int Uid,
    string RuntimeDirectory)
{
    /// <summary>How it is confined; null in a record of before that was written down.</summary>
    public VmConfinement? Confinement { get; init; }

    /// <summary>What is wrong with a record that was read from disk; null if it can be used.</summary>
    internal string? FindFault() =>
        LauncherPid <= 1 || QemuPid <= 1 || LauncherPid == QemuPid ? "its process numbers are none that a VM has"
        : Nonce is null || !VmDetachment.IsNonce(Nonce) ? "its nonce is none"
        : RuntimeDirectory is null || !Path.IsPathFullyQualified(RuntimeDirectory) ? "its directory is not absolute"
        : Confinement?.FindFault() is string fault ? fault
        : null;
}
