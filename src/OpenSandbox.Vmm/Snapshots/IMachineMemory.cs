using Microsoft.Win32.SafeHandles;

namespace OpenSandbox.Vmm.Snapshots;

/// <summary>The state of a machine that was cut at one instant, without its disks: what a new one needs to go on from there.</summary>
internal interface IMachineMemory
{
    /// <summary>State of the devices, as xen-save-devices-state wrote it.</summary>
    ReadOnlyMemory<byte> DeviceState { get; }

    /// <summary>Hot-plugged memory that the machine had, bytes.</summary>
    long PluggedBytes { get; }

    /// <summary>Fills the file behind the hot-plugged RAM of a machine that waits for its state.</summary>
    /// <param name="plugged">As large as the region, and empty.</param>
    /// <exception cref="IOException">Memory ran out, or what was saved cannot be read.</exception>
    /// <exception cref="InvalidDataException">What was saved is damaged.</exception>
    void FillPlugged(SafeFileHandle plugged);

    /// <summary>Writes the pages that differ from the golden snapshot.</summary>
    /// <param name="ram">The RAM of the new machine, which has not run.</param>
    /// <exception cref="IOException">QEMU is gone, or what was saved cannot be read.</exception>
    /// <exception cref="InvalidDataException">What was saved is damaged.</exception>
    void FillRam(RamMapping ram);
}
