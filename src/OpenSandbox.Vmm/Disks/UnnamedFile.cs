using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.Disks;

/// <summary>Files without a name: whatever is killed, the kernel frees them with their last descriptor.</summary>
internal static class UnnamedFile
{
    /// <summary>Opens one for reading and writing in the file system of <paramref name="directory"/>, mode 0600.</summary>
    /// <exception cref="IOException">The directory does not exist, or is not writable, or its file system is full.</exception>
    internal static SafeFileHandle Create(string directory)
    {
        SafeFileHandle file = Libc.Open(directory, Libc.O_TMPFILE | Libc.O_RDWR | Libc.O_CLOEXEC, 0x180);
        if (!file.IsInvalid)
        {
            return file;
        }

        int errno = Marshal.GetLastPInvokeError();
        if (errno is not (Errno.EOPNOTSUPP or Errno.EISDIR))
        {
            throw Errno.LastError($"open an unnamed file in {directory}");
        }

        // File systems without O_TMPFILE (some network and overlay ones): a name that lives for an instant.
        string path = Path.Combine(directory, $"{Guid.NewGuid():N}{Storage.DurableFile.TemporaryEnding}");
        file = Libc.Open(path, Libc.O_CREAT | Libc.O_EXCL | Libc.O_RDWR | Libc.O_CLOEXEC | Libc.O_NOFOLLOW, 0x180);
        if (file.IsInvalid)
        {
            throw Errno.LastError($"create {path}");
        }

        File.Delete(path);
        return file;
    }
}
