using System.Runtime.InteropServices;
using System.Text;
using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>Files of the root file system by which one sandbox differs from another. One thread at a time.</summary>
/// <param name="hostname">The sandbox's host name: letters, digits, dots and hyphens.</param>
internal sealed class GuestIdentity(string hostname)
{
    private const uint ReadOnlyMode = 0x124; // 0444
    private const uint Mode = 0x1A4; // 0644
    private const int MaxHosts = 64 * 1024;

    private string _hostname = hostname;
    private bool _wroteHosts;

    /// <summary>Writes machine id, host name and what a resolver needs. A root that cannot be written to is logged, not fatal.</summary>
    internal void Write()
    {
        _ = Libc.MkDirAt(Linux.AT_FDCWD, "/etc"u8, 0x1ED);
        Create("/etc/machine-id"u8, NewMachineId(), ReadOnlyMode);
        Create("/etc/hostname"u8, HostnameFile(), Mode);
        if (IsMissing("/etc/hosts"u8))
        {
            string hosts = $"127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{HostsLine(_hostname)}";
            Create("/etc/hosts"u8, Encoding.ASCII.GetBytes(hosts), Mode);
            _wroteHosts = true;
        }

        if (IsMissing("/etc/resolv.conf"u8))
        {
            Create("/etc/resolv.conf"u8, "nameserver 10.0.0.1\n"u8, Mode);
        }
    }

    /// <summary>
    /// Gives a sandbox that has been running another identity. Its users may have put anything in the place of these files, so each is
    /// replaced as a whole, on the root's own file system, and durably: a crash leaves the old one or the new one.
    /// </summary>
    /// <param name="hostname">The host name from now on.</param>
    /// <param name="renewMachineId">Whether it gets a new machine id.</param>
    internal void Change(string hostname, bool renewMachineId)
    {
        string old = _hostname;
        _hostname = hostname;
        if (old == hostname && !renewMachineId)
        {
            return;
        }

        using var etc = new ReplacedFiles("/etc");
        if (renewMachineId)
        {
            etc.Replace("machine-id", NewMachineId(), ReadOnlyMode);
        }

        if (old != hostname)
        {
            etc.Replace("hostname", HostnameFile(), Mode);
            ChangeHosts(etc, old);
        }
    }

    private void ChangeHosts(ReplacedFiles etc, string old)
    {
        // Only the line that the agent wrote itself, and only while it is as it was.
        byte[] line = Encoding.ASCII.GetBytes(HostsLine(old));
        if (!_wroteHosts || etc.TryRead("hosts", MaxHosts) is not { } hosts)
        {
            return;
        }

        int at = hosts.AsSpan().IndexOf(line);
        if (at == 0 || (at > 0 && hosts[at - 1] == (byte)'\n'))
        {
            etc.Replace("hosts", [.. hosts.AsSpan(0, at), .. Encoding.ASCII.GetBytes(HostsLine(_hostname)), .. hosts.AsSpan(at + line.Length)], Mode);
        }
    }

    private byte[] HostnameFile() => Encoding.ASCII.GetBytes(_hostname + "\n");

    private static string HostsLine(string hostname) => $"127.0.1.1 {hostname}\n";

    private static byte[] NewMachineId()
    {
        Span<byte> random = stackalloc byte[16];
        if (Libc.GetRandom(random, (nuint)random.Length, 0) != random.Length)
        {
            throw GuestException.LastError("getrandom");
        }

        return Encoding.ASCII.GetBytes(Convert.ToHexString(random).ToLowerInvariant() + "\n");
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
