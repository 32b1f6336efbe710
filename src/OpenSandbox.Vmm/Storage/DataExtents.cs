using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.Storage;

/// <summary>The parts of a sparse file that are stored, by lseek(2) SEEK_DATA and SEEK_HOLE.</summary>
internal static class DataExtents
{
    private const int ENXIO = 6;

    /// <summary>Lists the stored parts, widened to multiples of <paramref name="alignment"/> and merged, in order.</summary>
    internal static IEnumerable<(long Start, long End)> Of(SafeFileHandle file, long length, long alignment)
    {
        long position = 0;
        while (position < length)
        {
            long data = Libc.LSeek(file, position, Libc.SEEK_DATA);
            if (data < 0)
            {
                if (Marshal.GetLastPInvokeError() == ENXIO)
                {
                    yield break; // only a hole is left
                }

                throw Errno.LastError("lseek SEEK_DATA");
            }

            long hole = Libc.LSeek(file, data, Libc.SEEK_HOLE);
            if (hole < 0)
            {
                throw Errno.LastError("lseek SEEK_HOLE");
            }

            long start = Math.Max(position, data / alignment * alignment);
            long end = Math.Min(length, (hole + alignment - 1) / alignment * alignment);
            if (start < end)
            {
                yield return (start, end);
            }

            position = Math.Max(end, hole);
        }
    }
}
