using System.Runtime.InteropServices;
using System.Text;
using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>Files of the root file system by which one sandbox differs from another.</summary>
internal static class GuestIdentity
{
    /// <summary>Writes machine id, host name and what a resolver needs. A root that cannot be written to is logged, not fatal.</summary>
    internal static void Write(string hostname)
    {
        _ = Libc.MkDirAt(Linux.AT_FDCWD, "/etc"u8, 0x1ED);
        Span<byte> random = stackalloc byte[16];
        if (Libc.GetRandom(random, (nuint)random.Length, 0) == random.Length)
        {
            Create("/etc/machine-id"u8, Encoding.ASCII.GetBytes(Convert.ToHexString(random).ToLowerInvariant() + "\n"), 0x124); // 0444
        }

        Create("/etc/hostname"u8, Encoding.ASCII.GetBytes(hostname + "\n"), 0x1A4); // 0644
        if (IsMissing("/etc/hosts"u8))
        {
            string hosts = $"127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 {hostname}\n";
            Create("/etc/hosts"u8, Encoding.ASCII.GetBytes(hosts), 0x1A4);
        }

        if (IsMissing("/etc/resolv.conf"u8))
        {
            Create("/etc/resolv.conf"u8, "nameserver 10.0.0.1\n"u8, 0x1A4);
        }
    }

    private static bool IsMissing(ReadOnlySpan<byte> path) =>
        Libc.Statx(Linux.AT_FDCWD, path, Linux.AT_SYMLINK_NOFOLLOW, Linux.STATX_BASIC_STATS, out _) < 0
        && Marshal.GetLastPInvokeError() == Errno.ENOENT;

    private static void Create(ReadOnlySpan<byte> path, ReadOnlySpan<byte> content, uint mode)
    {
        if (!SmallFile.Create(Linux.AT_FDCWD, path, content, mode))
        {
            KernelConsole.WriteLine(
                $"opensandbox-agent: {Encoding.UTF8.GetString(path)}: {Errno.Describe(Marshal.GetLastPInvokeError())}");
        }
    }
}
