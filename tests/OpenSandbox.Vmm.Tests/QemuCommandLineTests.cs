using OpenSandbox.Vmm.Qemu;

namespace OpenSandbox.Vmm.Tests;

/// <summary>
/// QEMU's exact arguments, compared with approved files: whatever changes them makes golden snapshots unusable, so that
/// <see cref="QemuCommandLine.DeviceListVersion"/> must be raised. UPDATE_APPROVED=1 rewrites the files.
/// </summary>
public sealed class QemuCommandLineTests
{
    private static readonly VmShape s_shape = new(
        "pc-q35-7.2", "tcg", 2, 512, 16_384, VmShape.DefaultRootfsBytes, VmShape.DefaultWorkspaceBytes);

    private static readonly VmChannels s_channels = new(4, 5, 6, 7, 8, 9, 10);

    [Fact]
    public void ForBuilder_TcgMachine_IsAsApproved() =>
        Compare("builder.txt", QemuCommandLine.ForBuilder("/usr/bin/qemu-system-x86_64", s_shape, s_channels, kernel: 11, initramfs: 12));

    [Fact]
    public void ForRestore_WithBothDisks_IsAsApproved() => Compare(
        "restore-disks.txt",
        QemuCommandLine.ForRestore(
            "/usr/bin/qemu-system-x86_64", s_shape, s_channels, 11, new DiskDescriptors(12, 13), new DiskDescriptors(14, 15)));

    [Fact]
    public void ForRestore_WithoutDisks_IsAsApproved() => Compare(
        "restore-empty.txt", QemuCommandLine.ForRestore("/usr/bin/qemu-system-x86_64", s_shape, s_channels, 11, null, null));

    [Fact]
    public void ForRestore_Detached_DiffersOnlyInItsSocketsAndName()
    {
        VmChannels listening = s_channels with { DetachedName = VmDetachment.NameOf("0123456789abcdef") };
        List<string> attached = QemuCommandLine.ForRestore("qemu", s_shape, s_channels, 11, null, null);
        List<string> detached = QemuCommandLine.ForRestore("qemu", s_shape, listening, 11, null, null);

        int name = detached.IndexOf("-name");
        Assert.Equal("opensandbox-0123456789abcdef", detached[name + 1]);
        detached.RemoveRange(name, 2);
        Assert.Equal(5, detached.Count(static argument => argument.EndsWith(",server=on,wait=on", StringComparison.Ordinal)));
        Assert.Equal(attached, detached.Select(static argument => argument.Replace(",server=on,wait=on", "", StringComparison.Ordinal)));
    }

    [Fact]
    public void ForRestore_Kvm_DiffersOnlyInAcceleratorAndCpu()
    {
        List<string> tcg = QemuCommandLine.ForRestore("qemu", s_shape, s_channels, 11, null, null);
        List<string> kvm = QemuCommandLine.ForRestore("qemu", s_shape with { Accelerator = "kvm" }, s_channels, 11, null, null);

        Assert.Equal(
            tcg,
            kvm.Select(static argument => argument == "host" ? "max,-erms,-fsrm" : argument == "kvm" ? "tcg,thread=multi,tb-size=256" : argument));
    }

    [Fact]
    public void AllArguments_NeverProbeAFormatOrNameAFile()
    {
        IEnumerable<string> all = QemuCommandLine
            .ForRestore("qemu", s_shape, s_channels, 11, new DiskDescriptors(12, 13), new DiskDescriptors(14, 15))
            .Concat(QemuCommandLine.ForBuilder("qemu", s_shape, s_channels, 11, 11));

        Assert.DoesNotContain(all, static argument => argument.Contains("\"filename\":\"/", StringComparison.Ordinal)
            && !argument.Contains("/dev/fdset/", StringComparison.Ordinal));
        Assert.DoesNotContain("-drive", all);
        Assert.DoesNotContain("-runas", all);
        Assert.DoesNotContain("-netdev", all);
        Assert.DoesNotContain(all, static argument => argument.Contains("balloon", StringComparison.Ordinal));
    }

    private static void Compare(string name, List<string> arguments)
    {
        string path = Path.Combine(AppContext.BaseDirectory, "approved", name);
        string actual = string.Join('\n', arguments) + "\n";
        if (Environment.GetEnvironmentVariable("UPDATE_APPROVED") == "1")
        {
            File.WriteAllText(Path.Combine(SourceDirectory(), "approved", name), actual);
        }

        Assert.True(File.Exists(path), $"no approved file {name}: run with UPDATE_APPROVED=1 and review it");
        Assert.Equal(File.ReadAllText(path), actual);
    }

    private static string SourceDirectory([System.Runtime.CompilerServices.CallerFilePath] string path = "") => Path.GetDirectoryName(path)!;
}
