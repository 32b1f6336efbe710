namespace OpenSandbox.VirtioSerial;

/// <summary>Payload of Quiesce.</summary>
public sealed record QuiesceRequest
{
    /// <summary><see cref="WatchdogMilliseconds"/> where it is absent.</summary>
    public const int DefaultWatchdogMilliseconds = 15_000;

    /// <summary>Smallest <see cref="WatchdogMilliseconds"/>.</summary>
    public const int MinWatchdogMilliseconds = 100;

    /// <summary>Largest <see cref="WatchdogMilliseconds"/>: ten minutes.</summary>
    public const int MaxWatchdogMilliseconds = 600_000;

    /// <summary>Fill free memory with zeroes first, so that a snapshot of it is small. For golden snapshots; not with <see cref="Snapshot"/>.</summary>
    public bool ZeroFreeMemory { get; init; }

    /// <summary>
    /// For the snapshot of a running sandbox: open streams do not matter; the agent's loops, all user processes and the file systems on disks
    /// stand still until <see cref="FrameType.Thaw"/>, the resume of the next session, or the watchdog. Default: no.
    /// </summary>
    public bool Snapshot { get; init; }

    /// <summary>
    /// With <see cref="Snapshot"/>: after so much time of the guest's own clock without Thaw or a new session the agent undoes everything by
    /// itself. Milliseconds, <see cref="MinWatchdogMilliseconds"/> to <see cref="MaxWatchdogMilliseconds"/>; absent:
    /// <see cref="DefaultWatchdogMilliseconds"/>.
    /// </summary>
    public int? WatchdogMilliseconds { get; init; }
}
