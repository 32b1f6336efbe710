using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>Makes the guest's free memory zero, so that a snapshot of it is small.</summary>
internal static class FreeMemory
{
    private const nuint Chunk = 8 * 1024 * 1024;
    private const long Reserve = 16 * 1024 * 1024; // stays free for the kernel itself

    /// <summary>Drops clean caches, then takes nearly all free memory, which the kernel clears, and gives it back.</summary>
    internal static void Zero()
    {
        _ = SmallFile.Write(GuestMemory.ProcFd, "sys/vm/drop_caches"u8, "3"u8);
        _ = SmallFile.Write(GuestMemory.ProcFd, "sys/vm/compact_memory"u8, "1"u8);
        var taken = new List<nint>();
        while (GuestMemory.AvailableBytes() > Reserve + (long)Chunk)
        {
            nint address = Libc.MMap(
                0, Chunk, Linux.PROT_READ_WRITE, Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS | Linux.MAP_POPULATE, -1, 0);
            if (address == -1)
            {
                break;
            }

            taken.Add(address);
        }

        foreach (nint address in taken)
        {
            _ = Libc.MUnmap(address, Chunk);
        }
    }
}
