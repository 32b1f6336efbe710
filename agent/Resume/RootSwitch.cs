using System.Runtime.InteropServices;
using System.Text;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>Mounts the sandbox's disks and makes the root disk the root of everything.</summary>
internal static class RootSwitch
{
    // Without them a thread of the kernel reads the bitmap of every block group in the background and looks for inode tables to clear
    // (there are none): memory and CPU of a sandbox that may only want to run one command. A bitmap is read when it is needed.
    private static ReadOnlySpan<byte> Ext4Options => "no_prefetch_block_bitmaps,noinit_itable"u8;

    private const string NewRoot = "/newroot";
    private const string NewWorkspace = "/newworkspace";
    private const uint MountPointMode = 0x1ED; // 0755

    /// <summary>Mounts and switches.</summary>
    /// <param name="rootDevice">Block device without /dev/; <see langword="null"/>: the initramfs stays the root.</param>
    /// <param name="workspaceDevice">Block device without /dev/, or <see langword="null"/>.</param>
    /// <param name="mountThread">Mounts the workspace while the caller mounts the root.</param>
    /// <exception cref="GuestException">A mount failed.</exception>
    internal static void Switch(string? rootDevice, string? workspaceDevice, AgentWorker mountThread)
    {
        Exception? workspaceFailure = null;
        using var workspaceDone = new ManualResetEventSlim(workspaceDevice is null, spinCount: 0);
        if (workspaceDevice is not null)
        {
            mountThread.Post(() =>
            {
                try
                {
                    MountDisk(workspaceDevice, NewWorkspace);
                }
                catch (GuestException exception)
                {
                    workspaceFailure = exception;
                }
                finally
                {
                    workspaceDone.Set();
                }
            });
        }

        try
        {
            if (rootDevice is not null)
            {
                MountDisk(rootDevice, NewRoot);
            }
        }
        finally
        {
            workspaceDone.Wait(); // a mount(2): it ends; and it finds its device only while /dev is where it was
        }

        if (workspaceFailure is not null)
        {
            throw workspaceFailure;
        }

        string root = string.Empty;
        if (rootDevice is not null)
        {
            MoveKernelFileSystems();
            root = NewRoot;
        }

        if (workspaceDevice is not null)
        {
            Move(NewWorkspace, root + "/workspace");
        }

        if (rootDevice is not null)
        {
            Enter();
        }

        if (workspaceDevice is not null)
        {
            GiveToDefaultUser("/workspace"u8);
        }
    }

    private static void MountDisk(string device, string target)
    {
        if (device.Length is 0 or > 32 || !device.All(char.IsAsciiLetterOrDigit))
        {
            GuestException.ThrowInvalid("device: the name of a block device such as vda");
        }

        byte[] point = CString.From(target);
        MakeDirectory(point);
        _ = GuestException.Check(
            Libc.Mount(CString.From("/dev/" + device), point, "ext4"u8, Linux.MS_NOATIME, Ext4Options), $"mount /dev/{device} as ext4");
    }

    private static void MoveKernelFileSystems()
    {
        foreach (string name in (ReadOnlySpan<string>)["/dev", "/proc", "/sys", "/run", "/tmp"])
        {
            Move(name, NewRoot + name);
        }
    }

    private static void Move(string from, string to)
    {
        byte[] target = CString.From(to);
        MakeDirectory(target);
        _ = GuestException.Check(Libc.Mount(CString.From(from), target, default, Linux.MS_MOVE, default), $"move {from} to {to}");
    }

    private static void Enter()
    {
        _ = GuestException.Check(Libc.ChDir(CString.From(NewRoot)), "chdir " + NewRoot);
        _ = GuestException.Check(Libc.Mount("."u8, "/"u8, default, Linux.MS_MOVE, default), "move the new root to /");
        _ = GuestException.Check(Libc.ChRoot("."u8), "chroot");
        _ = GuestException.Check(Libc.ChDir("/"u8), "chdir /");
    }

    private static void MakeDirectory(ReadOnlySpan<byte> path)
    {
        if (Libc.MkDirAt(Linux.AT_FDCWD, path, MountPointMode) < 0 && Marshal.GetLastPInvokeError() != Errno.EEXIST)
        {
            throw GuestException.LastError("mkdir " + Encoding.UTF8.GetString(path[..^1]));
        }
    }

    /// <summary>A fresh file system belongs to root; the sandbox's user is to work in it.</summary>
    private static void GiveToDefaultUser(ReadOnlySpan<byte> path)
    {
        GuestUser user = new UserDatabase().Find(null);
        if (user.Uid != 0
            && Libc.Statx(Linux.AT_FDCWD, path, Linux.AT_SYMLINK_NOFOLLOW, Linux.STATX_BASIC_STATS, out StatxBuffer stat) == 0 && stat.Uid == 0)
        {
            _ = GuestException.Check(
                Libc.FChOwnAt(Linux.AT_FDCWD, path, user.Uid, user.Gid, Linux.AT_SYMLINK_NOFOLLOW), "chown /workspace");
        }
    }
}
