using System.Runtime.InteropServices;
using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>Brings the guest from the kernel's start of <c>/init</c> to the state that a golden snapshot keeps.</summary>
internal static class GuestBoot
{
    private const ulong OpenFiles = 65_536;
    private const ulong OpenFilesHard = 1_048_576;
    private const nuint SIOCSIFFLAGS = 0x8914;
    private const short IFF_UP = 1;
    private const short IFF_RUNNING = 0x40;

    /// <summary>Mounts the kernel's file systems. Those below /dev, and /tmp and /run, move along when the root is switched.</summary>
    internal static void MountKernelFileSystems()
    {
        _ = Libc.UMask(0); // modes are meant as they are asked for; commands get 022
        Mount("proc"u8, "/proc"u8, "proc"u8, Linux.MS_NOSUID | Linux.MS_NODEV | Linux.MS_NOEXEC, default);
        Mount("sysfs"u8, "/sys"u8, "sysfs"u8, Linux.MS_NOSUID | Linux.MS_NODEV | Linux.MS_NOEXEC, default);
        Mount("devtmpfs"u8, "/dev"u8, "devtmpfs"u8, Linux.MS_NOSUID, "mode=0755"u8);
        KernelConsole.Open();
        Mount("devpts"u8, "/dev/pts"u8, "devpts"u8, Linux.MS_NOSUID | Linux.MS_NOEXEC, "gid=5,mode=620,ptmxmode=666"u8);
        Mount("tmpfs"u8, "/dev/shm"u8, "tmpfs"u8, Linux.MS_NOSUID | Linux.MS_NODEV, "mode=1777"u8);
        Mount("cgroup2"u8, "/sys/fs/cgroup"u8, "cgroup2"u8, Linux.MS_NOSUID | Linux.MS_NODEV | Linux.MS_NOEXEC, default);
        Mount("tmpfs"u8, "/tmp"u8, "tmpfs"u8, Linux.MS_NOSUID | Linux.MS_NODEV, "mode=1777"u8);
        Mount("tmpfs"u8, "/run"u8, "tmpfs"u8, Linux.MS_NOSUID | Linux.MS_NODEV, "mode=755"u8);
        Link("/proc/self/fd"u8, "/dev/fd"u8);
        Link("/proc/self/fd/0"u8, "/dev/stdin"u8);
        Link("/proc/self/fd/1"u8, "/dev/stdout"u8);
        Link("/proc/self/fd/2"u8, "/dev/stderr"u8);
    }

    /// <summary>Opens descriptors 0 to 2 if the kernel did not, so that no other file ever gets these numbers.</summary>
    internal static void OpenStandardDescriptors()
    {
        int fd;
        do
        {
            fd = Libc.Open("/dev/null"u8, Linux.O_RDWR, 0);
        }
        while (fd is >= 0 and < 3);

        if (fd >= 3)
        {
            _ = Libc.Close(fd);
        }
    }

    /// <summary>Kernel settings and limits that every process of the sandbox inherits, and the loopback interface.</summary>
    internal static void ConfigureKernel()
    {
        var files = new ResourceLimit { Soft = OpenFiles, Hard = OpenFilesHard };
        if (Libc.PrLimit(0, Linux.RLIMIT_NOFILE, files, 0) < 0)
        {
            Log("RLIMIT_NOFILE");
        }

        // One sandbox is one user's machine: low ports and ping need no privilege, and large programs need many mappings.
        Set("/proc/sys/net/ipv4/ip_unprivileged_port_start"u8, "0"u8);
        Set("/proc/sys/net/ipv4/ping_group_range"u8, "0 2147483647"u8);
        Set("/proc/sys/vm/max_map_count"u8, "1048576"u8);
        Set("/proc/sys/fs/inotify/max_user_watches"u8, "524288"u8);
        Set("/proc/sys/fs/inotify/max_user_instances"u8, "1024"u8);
        BringUpLoopback();
    }

    private static void BringUpLoopback()
    {
        int socket = Libc.Socket(Linux.AF_INET, Linux.SOCK_DGRAM | Linux.SOCK_CLOEXEC, 0);
        Span<byte> request = stackalloc byte[40]; // struct ifreq: name[16], flags i16, padding
        request.Clear();
        "lo"u8.CopyTo(request);
        BitConverter.TryWriteBytes(request[16..], (short)(IFF_UP | IFF_RUNNING));
        if (socket < 0 || Libc.IoCtl(socket, SIOCSIFFLAGS, request) < 0)
        {
            Log("lo up");
        }

        if (socket >= 0)
        {
            _ = Libc.Close(socket);
        }
    }

    private static void Mount(ReadOnlySpan<byte> source, ReadOnlySpan<byte> target, ReadOnlySpan<byte> type, ulong flags, ReadOnlySpan<byte> data)
    {
        _ = Libc.MkDirAt(Linux.AT_FDCWD, target, 0x1ED); // 0755; mostly there already
        if (Libc.Mount(source, target, type, flags, data) < 0)
        {
            Log("mount " + System.Text.Encoding.UTF8.GetString(target));
        }
    }

    private static void Link(ReadOnlySpan<byte> target, ReadOnlySpan<byte> path)
    {
        if (Libc.SymLink(target, path) < 0 && Marshal.GetLastPInvokeError() != Errno.EEXIST)
        {
            Log("symlink " + System.Text.Encoding.UTF8.GetString(path));
        }
    }

    private static void Set(ReadOnlySpan<byte> path, ReadOnlySpan<byte> value)
    {
        if (!SmallFile.Write(Linux.AT_FDCWD, path, value))
        {
            Log(System.Text.Encoding.UTF8.GetString(path));
        }
    }

    private static void Log(string what) =>
        KernelConsole.WriteLine($"opensandbox-agent: {what}: {Errno.Describe(Marshal.GetLastPInvokeError())}");
}
