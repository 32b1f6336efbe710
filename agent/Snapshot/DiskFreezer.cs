using System.Runtime.InteropServices;
using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>
/// Brings the file systems on the sandbox's disks to a state that needs no repair, and keeps every write to them waiting. One thread at a time.
/// </summary>
internal sealed class DiskFreezer
{
    private const nuint FIFREEZE = 0xC0045877;
    private const nuint FITHAW = 0xC0045878;

    private readonly List<int> _mounts = [];
    private readonly Stack<int> _frozen = new();

    /// <summary>
    /// Opens the file systems, once, while nobody can have mounted anything over them: nothing has to be looked up when they are frozen.
    /// </summary>
    /// <param name="root">Whether the root is on a disk.</param>
    /// <param name="workspace">Whether there is a workspace.</param>
    /// <exception cref="GuestException">One cannot be opened.</exception>
    internal void Open(bool root, bool workspace)
    {
        // The workspace first: what writes to it may log to the root.
        Add(workspace, "/workspace");
        Add(root, "/");
    }

    /// <summary>Writes everything to the disks and freezes them. If one fails, none is frozen.</summary>
    /// <exception cref="GuestException">The kernel refused, or a disk failed.</exception>
    internal void Freeze()
    {
        if (_mounts.Count == 0)
        {
            return;
        }

        // Each of the three levels of a freeze waits for a grace period of RCU, which takes several timer ticks unless it is asked to hurry.
        _ = SmallFile.Write(GuestMemory.SysFd, "kernel/rcu_expedited"u8, "1"u8);
        try
        {
            FreezeAll();
        }
        finally
        {
            _ = SmallFile.Write(GuestMemory.SysFd, "kernel/rcu_expedited"u8, "0"u8);
        }
    }

    /// <summary>Lets writes go on, if they do not.</summary>
    internal void Thaw()
    {
        while (_frozen.TryPop(out int mount))
        {
            if (Libc.IoCtl(mount, FITHAW, default) < 0)
            {
                // EINVAL: somebody else has thawed it, which is what is wanted.
                int errno = Marshal.GetLastPInvokeError();
                if (errno != Errno.EINVAL)
                {
                    KernelConsole.WriteLine("opensandbox-agent: thaw a file system: " + Errno.Describe(errno));
                }
            }
        }
    }

    private void FreezeAll()
    {
        foreach (int mount in _mounts)
        {
            if (Libc.IoCtl(mount, FIFREEZE, default) == 0)
            {
                _frozen.Push(mount);
                continue;
            }

            // EBUSY: the sandbox's root has frozen it, and cannot thaw it now that it stands still itself. EOPNOTSUPP: nothing to freeze.
            int errno = Marshal.GetLastPInvokeError();
            if (errno is not (Errno.EBUSY or Errno.EOPNOTSUPP))
            {
                Thaw();
                throw GuestException.System("freeze a file system", errno);
            }
        }
    }

    private void Add(bool exists, string path)
    {
        if (exists)
        {
            _mounts.Add(GuestException.Check(
                Libc.Open(CString.From(path), Linux.O_RDONLY | Linux.O_DIRECTORY | Linux.O_CLOEXEC, 0), "open " + path));
        }
    }
}
