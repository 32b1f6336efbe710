using VmOnDisk = OpenSandbox.Vmm.State.VmRecord;
using VmRunning = OpenSandbox.Vmm.Qemu.VmRecord;

namespace OpenSandbox.Vmm.Lifecycle;

/// <summary>How a detached VM stands in its sandbox's manifest.</summary>
internal static class Records
{
    internal static VmOnDisk Of(VmRunning vm) => new()
    {
        LauncherPid = vm.LauncherPid,
        LauncherStartTicks = vm.LauncherStartTicks,
        QemuPid = vm.QemuPid,
        QemuStartTicks = vm.QemuStartTicks,
        BootId = vm.BootId,
        Nonce = vm.Nonce,
        Uid = vm.Uid,
        RuntimeDirectory = vm.RuntimeDirectory,
        Confinement = vm.Confinement,
    };

    internal static VmRunning Of(VmOnDisk vm) => new(
        vm.LauncherPid, vm.LauncherStartTicks, vm.QemuPid, vm.QemuStartTicks, vm.BootId, vm.Nonce, vm.Uid, vm.RuntimeDirectory)
        {
            Confinement = vm.Confinement,
        };
}
