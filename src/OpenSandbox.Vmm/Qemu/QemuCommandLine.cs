using System.Globalization;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Vmm.Qemu;

/// <summary>
/// QEMU's arguments. Pure: the same input gives the same text, and tests compare it with approved files, because a device more or less
/// makes every golden snapshot unusable.
/// </summary>
/// <remarks>
/// All files and sockets are inherited descriptors; every block node names its driver; options that carry values from outside are JSON.
/// Sources: QEMU's qemu-options.hx and docs/system/security.rst.
/// </remarks>
internal static class QemuCommandLine
{
    /// <summary>Part of the golden snapshot's identity: raised when the device list or its order changes.</summary>
    internal const int DeviceListVersion = 2;

    /// <summary>Block node of the root disk.</summary>
    internal const string RootfsName = "rootfs";

    /// <summary>Block node of the workspace.</summary>
    internal const string WorkspaceName = "workspace";

    /// <summary>The device that is the root disk.</summary>
    internal const string RootfsDevice = "disk0";

    /// <summary>The device that is the workspace.</summary>
    internal const string WorkspaceDevice = "disk1";

    /// <summary>QOM path of the virtio-mem device.</summary>
    internal const string MemoryDevicePath = "/machine/peripheral/plugmem";

    /// <summary>Id of the fdset that the device state is written to while a golden snapshot is saved.</summary>
    internal const int SaveFdSet = 9;

    // usb, smm, sata, smbus, i8042, vmport, hpet: devices that no sandbox uses and a hostile guest could attack.
    // suppress-vmdesc: the description is for debugging only, and without it QEMU does not look for one.
    private const string MachineSwitches =
        "memory-backend=ram,usb=off,smm=off,sata=off,smbus=off,i8042=off,vmport=off,hpet=off,suppress-vmdesc=on";

    // tb-size: by default translated code may take up to 1 GiB per VM, on the host and outside of the guest's RAM.
    private const string TcgAccelerator = "tcg,thread=multi,tb-size=256";

    // A deny-list and not a jail: the launcher is the jail. Never together with -runas, which would kill QEMU.
    private const string Sandbox = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

    // panic=-1 with -no-reboot: a panic ends QEMU at once. mitigations=off: they separate the guest's own processes from each other, all
    // of one tenant, and cost a TLB flush per system call under TCG; the boundary to the host does not depend on them.
    private const string KernelCommandLine =
        "console=ttyS0 quiet panic=-1 memhp_default_state=online_movable mitigations=off tsc=reliable random.trust_cpu=on";

    internal static string KernelArguments => KernelCommandLine;

    /// <summary>A machine that boots the kernel, to be saved as a golden snapshot. RAM is mapped shared.</summary>
    internal static List<string> ForBuilder(string qemu, VmShape shape, VmChannels channels, int kernel, int initramfs)
    {
        List<string> arguments = Common(qemu, shape, channels, sharedRam: true);
        AddEmptyDisk(arguments, RootfsName, shape.RootfsBytes);
        AddEmptyDisk(arguments, WorkspaceName, shape.WorkspaceBytes);
        AddDevices(arguments);
        arguments.AddRange(["-kernel", Descriptor(kernel), "-initrd", Descriptor(initramfs), "-append", KernelCommandLine]);
        return arguments;
    }

    /// <summary>
    /// A machine that loads a device state on its own and runs at once: no kernel, no monitor command on the way. Its RAM is the golden
    /// template, mapped copy-on-write. The state may be a file, or a socket: then the machine waits until it has come.
    /// </summary>
    internal static List<string> ForRestore(
        string qemu, VmShape shape, VmChannels channels, int deviceState, DiskDescriptors? rootfs, DiskDescriptors? workspace)
    {
        List<string> arguments = Common(qemu, shape, channels, sharedRam: false);
        AddDisk(arguments, RootfsName, shape.RootfsBytes, rootfs);
        AddDisk(arguments, WorkspaceName, shape.WorkspaceBytes, workspace);
        AddDevices(arguments);

        // The state was written by xen-save-devices-state, which has no configuration section and no RAM.
        arguments.AddRange(["-global", "migration.send-configuration=off"]);
        arguments.AddRange(["-incoming", string.Create(CultureInfo.InvariantCulture, $"fd:{deviceState}")]);
        return arguments;
    }

    private static List<string> Common(string qemu, VmShape shape, VmChannels channels, bool sharedRam)
    {
        long baseBytes = (long)shape.BaseMemoryMib << 20;
        long plugBytes = shape.PluggableBytes;

        // A listening socket has the host's connection waiting in it since before QEMU existed: wait=on takes that one first, so that the
        // devices begin as they do with connected sockets, and listens again whenever a host has gone.
        string mode = channels.DetachedName is null ? "" : ",server=on,wait=on";
        return
        [
            qemu,
            "-machine", $"{shape.MachineType},{MachineSwitches}",
            "-accel", shape.Accelerator == Accelerators.Tcg ? TcgAccelerator : shape.Accelerator,
            "-cpu", shape.CpuModel,
            "-smp", shape.VcpuCount.ToString(CultureInfo.InvariantCulture),
            "-m", $"{shape.BaseMemoryMib}M,slots=1,maxmem={(baseBytes + plugBytes) >> 20}M",
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-sandbox", Sandbox,
            "-object", $$"""{"qom-type":"memory-backend-file","id":"ram","size":{{baseBytes}},"mem-path":"{{Descriptor(channels.Ram)}}","share":{{(sharedRam ? "true" : "false")}}}""",
            "-object", $$"""{"qom-type":"memory-backend-file","id":"plug","size":{{plugBytes}},"mem-path":"{{Descriptor(channels.PluggedRam)}}","share":true}""",
            "-object", """{"qom-type":"rng-builtin","id":"rng"}""",
            "-chardev", $"socket,id=qmp,fd={channels.Qmp}{mode}", "-mon", "chardev=qmp,mode=control",
            "-chardev", $"socket,id=control,fd={channels.Control}{mode}",
            "-chardev", $"socket,id=bulk,fd={channels.Bulk}{mode}",
            "-chardev", $"socket,id=network,fd={channels.Network}{mode}",
            "-chardev", $"socket,id=console,fd={channels.Console}{mode}", "-serial", "chardev:console",
            .. channels.DetachedName is string name ? (string[])["-name", name] : [],
        ];
    }

    private static void AddDevices(List<string> arguments) => arguments.AddRange(
    [
        "-device", "virtio-serial-pci,id=serial,max_ports=4",
        "-device", $"virtserialport,bus=serial.0,nr=1,chardev=control,name={ProtocolConstants.ControlPortName}",
        "-device", $"virtserialport,bus=serial.0,nr=2,chardev=bulk,name={ProtocolConstants.BulkPortName}",
        "-device", $"virtserialport,bus=serial.0,nr=3,chardev=network,name={ProtocolConstants.NetworkPortName}",
        "-device", $"virtio-blk-pci,drive={RootfsName},id={RootfsDevice}",
        "-device", $"virtio-blk-pci,drive={WorkspaceName},id={WorkspaceDevice}",
        "-device", "virtio-mem-pci,id=plugmem,memdev=plug,requested-size=0",
        "-device", "virtio-rng-pci,rng=rng",
    ]);

    private static void AddEmptyDisk(List<string> arguments, string name, long size) =>
        arguments.AddRange(["-blockdev", $$"""{"driver":"null-co","node-name":"{{name}}","size":{{size}},"read-zeroes":true}"""]);

    /// <summary>Id of the fdset of a disk's layer: the image and the layers have their own, so that none is confused with another.</summary>
    private static int FrozenFdSet(int firstFdSet, int layer) => (firstFdSet * 100) + layer;

    /// <summary>Id of the fdset of the layer that a disk is started with.</summary>
    internal static int OverlayFdSet(string name) => name == RootfsName ? 1 : 3;

    private static void AddDisk(List<string> arguments, string name, long size, DiskDescriptors? descriptors)
    {
        int firstFdSet = OverlayFdSet(name);
        if (descriptors is null)
        {
            AddEmptyDisk(arguments, name, size);
            return;
        }

        int baseSet = firstFdSet + 1;
        arguments.AddRange(
        [
            "-add-fd", $"fd={descriptors.Overlay},set={firstFdSet}",
            "-add-fd", $"fd={descriptors.Base},set={baseSet}",
            "-blockdev", $$"""{"driver":"file","node-name":"{{name}}-base-file","filename":"/dev/fdset/{{baseSet}}","read-only":true,"locking":"off"}""",
            "-blockdev", $$"""{"driver":"raw","node-name":"{{name}}-base","file":"{{name}}-base-file","read-only":true}""",
        ]);
        string below = $"{name}-base";
        for (int layer = 0; layer < descriptors.Frozen.Count; layer++)
        {
            int set = FrozenFdSet(firstFdSet, layer);
            string node = string.Create(CultureInfo.InvariantCulture, $"{name}-layer{layer}");
            arguments.AddRange(
            [
                "-add-fd", $"fd={descriptors.Frozen[layer]},set={set}",
                "-blockdev", $$"""{"driver":"file","node-name":"{{node}}-file","filename":"/dev/fdset/{{set}}","read-only":true,"locking":"off"}""",
                "-blockdev", $$"""{"driver":"qcow2","node-name":"{{node}}","file":"{{node}}-file","backing":"{{below}}","read-only":true}""",
            ]);
            below = node;
        }

        arguments.AddRange(
        [
            "-blockdev", $$"""{"driver":"file","node-name":"{{name}}-file","filename":"/dev/fdset/{{firstFdSet}}","discard":"unmap"}""",
            "-blockdev", $$"""{"driver":"qcow2","node-name":"{{name}}","file":"{{name}}-file","backing":"{{below}}","discard":"unmap","detect-zeroes":"unmap"}""",
        ]);
    }

    private static string Descriptor(int number) => string.Create(CultureInfo.InvariantCulture, $"/proc/self/fd/{number}");
}
