using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>Waits for hot-plugged memory to become usable. The kernel puts it online by itself (memhp_default_state on its command line).</summary>
internal sealed class PluggedMemory
{
    private const int DeadlineMilliseconds = 10_000;
    private const int LookAgainMilliseconds = 10;
    private const int BookkeepingShare = 64; // the kernel may take 1/64 of new memory for its page descriptors

    private readonly long _atBoot = GuestMemory.TotalBytes();

    /// <summary>Waits until so much more memory is there than at boot.</summary>
    /// <param name="bytes">Hot-plugged bytes.</param>
    /// <exception cref="GuestException">It did not come in time.</exception>
    internal void WaitFor(long bytes)
    {
        if (bytes <= 0)
        {
            return;
        }

        long expected = _atBoot + bytes - (bytes / BookkeepingShare);
        using var events = new KernelEvents();
        long deadline = ClockTicks.Milliseconds + DeadlineMilliseconds;
        while (GuestMemory.TotalBytes() < expected)
        {
            if (ClockTicks.Milliseconds >= deadline)
            {
                throw GuestException.Coded(
                    AgentErrorCodes.System,
                    $"hot-plugged memory: {GuestMemory.TotalBytes() - _atBoot} of {bytes} bytes are online after {DeadlineMilliseconds} ms");
            }

            // Whole blocks are announced; the parts that virtio-mem adds to a block later are not (mm/memory_hotplug.c), hence the bound.
            events.Wait(LookAgainMilliseconds);
        }
    }
}
