using System.Runtime.InteropServices;
using System.Text;
using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>Loads the modules that the initramfs carries, in the order in which they depend on each other.</summary>
internal static class KernelModules
{
    private const string Folder = "/mods/";
    private const int MaxOrderFile = 64 * 1024;

    /// <summary>Loads every module named in <c>/mods/order</c> and frees the memory of its file. Failures are logged and no more:
    /// whether something essential is missing shows when the ports do not appear.</summary>
    internal static void LoadAll()
    {
        byte[] order = new byte[MaxOrderFile];
        int length = SmallFile.Read(Linux.AT_FDCWD, "/mods/order"u8, order);
        if (length <= 0)
        {
            KernelConsole.WriteLine("opensandbox-agent: no /mods/order, relying on built-in drivers");
            return;
        }

        foreach (string line in Encoding.UTF8.GetString(order, 0, length).Split('\n'))
        {
            string name = line.Trim();
            if (name.Length > 0 && !name.Contains('/'))
            {
                Load(name);
            }
        }
    }

    private static void Load(string name)
    {
        byte[] path = CString.From(Folder + name);
        int fd = Libc.Open(path, Linux.O_RDONLY | Linux.O_CLOEXEC, 0);
        int result = fd < 0 ? -1 : Libc.FInitModule(fd, "\0"u8, 0);
        int errno = Marshal.GetLastPInvokeError();
        if (fd >= 0)
        {
            _ = Libc.Close(fd);
        }

        if (result < 0 && errno != Errno.EEXIST)
        {
            KernelConsole.WriteLine($"opensandbox-agent: module {name}: {Errno.Describe(errno)}");
        }

        // The initramfs lives in RAM: a loaded module's file would be in every snapshot for nothing.
        _ = Libc.UnlinkAt(Linux.AT_FDCWD, path, 0);
    }
}
