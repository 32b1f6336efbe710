namespace OpenSandbox.PerfHarness.Floor;

/// <summary>How the floor program has taken a machine's state.</summary>
/// <param name="QuiesceMilliseconds">Until the agent had quiesced the guest.</param>
/// <param name="StoppedMilliseconds">From before QEMU was told to stop until the machine ran again; 0 if it never does.</param>
/// <param name="StopMilliseconds">Of that: until QEMU had stopped it.</param>
/// <param name="ScanMilliseconds">Of that: finding the pages.</param>
/// <param name="CopyMilliseconds">Of that: copying them.</param>
/// <param name="DevicesMilliseconds">Of that: what was still to be waited for until QEMU had saved its devices.</param>
/// <param name="ThawMilliseconds">Until the agent had let the guest go on.</param>
/// <param name="Pages">Pages copied.</param>
/// <param name="DeviceBytes">Size of the devices' state.</param>
internal sealed record FloorCut(
    double QuiesceMilliseconds,
    double StoppedMilliseconds,
    double StopMilliseconds,
    double ScanMilliseconds,
    double CopyMilliseconds,
    double DevicesMilliseconds,
    double ThawMilliseconds,
    long Pages,
    long DeviceBytes)
{
    private const int PageSize = 4_096;

    /// <summary>What a machine's state comes to, as it is: its pages and its devices.</summary>
    internal long Bytes => (Pages * PageSize) + DeviceBytes;
}
