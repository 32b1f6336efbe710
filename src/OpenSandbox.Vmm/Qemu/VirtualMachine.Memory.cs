using Microsoft.Extensions.Logging;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.Qemu;

/// <content>The memory behind the machine.</content>
internal sealed partial class VirtualMachine
{
    private const string PluggedRamName = "opensandbox-plugged";

    /// <summary>Limit of QEMU's open files: two for each layer of two disks, and a few tens beside them.</summary>
    private const int MaxDescriptors = 1_024;

    internal ILogger Logger => _context.Logger;

    /// <summary>
    /// An empty file in memory for hot-plugged RAM: it takes memory only as the guest writes, reserves no swap, and its pages can be found
    /// without looking into QEMU.
    /// </summary>
    /// <exception cref="IOException">Memory ran out.</exception>
    internal static SafeFileHandle CreatePluggedRam(long bytes)
    {
        SafeFileHandle file = Libc.MemfdCreate(PluggedRamName, Libc.MFD_CLOEXEC | Libc.MFD_ALLOW_SEALING);
        if (file.IsInvalid || Libc.FTruncate(file, bytes) != 0
            || Libc.Fcntl(file, Libc.F_ADD_SEALS, Libc.F_SEAL_SEAL | Libc.F_SEAL_SHRINK | Libc.F_SEAL_GROW) != 0)
        {
            IOException failure = Errno.LastError($"memfd_create of {bytes} bytes for hot-plugged RAM");
            file.Dispose();
            throw failure;
        }

        return file;
    }

    /// <summary>Opens the file behind hot-plugged RAM, which QEMU has open.</summary>
    /// <param name="pid">QEMU.</param>
    /// <param name="bytes">Its size: QEMU could show us another file of this name.</param>
    /// <exception cref="IOException">It is not there, or QEMU may not be looked at.</exception>
    internal static SafeFileHandle OpenPluggedRam(int pid, long bytes)
    {
        int looked = 0;
        foreach (string path in Directory.EnumerateFiles($"/proc/{pid}/fd"))
        {
            if (++looked > MaxDescriptors)
            {
                break;
            }

            if (File.ResolveLinkTarget(path, returnFinalTarget: false)?.FullName.Contains(PluggedRamName, StringComparison.Ordinal) != true)
            {
                continue;
            }

            SafeFileHandle file = Libc.Open(path, Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
            if (file.IsInvalid)
            {
                throw Errno.LastError($"open hot-plugged RAM of process {pid}");
            }

            if (RandomAccess.GetLength(file) == bytes)
            {
                return file;
            }

            file.Dispose();
        }

        throw new IOException($"process {pid} has no file of {bytes} bytes for hot-plugged RAM");
    }
}
