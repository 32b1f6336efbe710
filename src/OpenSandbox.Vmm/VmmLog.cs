using Microsoft.Extensions.Logging;

namespace OpenSandbox.Vmm;

/// <summary>Log messages of this library: event ids 4000 to 4999. Never environment values, input, output, file contents or arguments.</summary>
internal static partial class VmmLog
{
    [LoggerMessage(4001, LogLevel.Information, "Host started: {Accelerator}, QEMU {QemuVersion}, golden snapshot {GoldenKey} ({Milliseconds} ms)")]
    internal static partial void HostStarted(ILogger logger, string accelerator, string qemuVersion, string goldenKey, long milliseconds);

    [LoggerMessage(4002, LogLevel.Warning, "KVM is not used: {Reason}. Sandboxes run under TCG, which is slower")]
    internal static partial void KvmNotUsed(ILogger logger, string reason);

    [LoggerMessage(4003, LogLevel.Information, "Golden snapshot {GoldenKey} built in {Milliseconds} ms ({RamBytes} bytes of RAM, {StateBytes} of device state)")]
    internal static partial void GoldenBuilt(ILogger logger, string goldenKey, long milliseconds, long ramBytes, long stateBytes);

    [LoggerMessage(4004, LogLevel.Warning, "Golden snapshot {GoldenKey} cannot be used and is built anew: {Reason}")]
    internal static partial void GoldenRejected(ILogger logger, string goldenKey, string reason);

    [LoggerMessage(4005, LogLevel.Information, "Sandbox {SandboxId} started in {Milliseconds} ms")]
    internal static partial void SandboxStarted(ILogger logger, string sandboxId, long milliseconds);

    [LoggerMessage(4006, LogLevel.Information, "Sandbox {SandboxId} ended: {Description}")]
    internal static partial void SandboxEnded(ILogger logger, string sandboxId, string description);

    [LoggerMessage(4007, LogLevel.Error, "Sandbox {SandboxId} was lost: {Description}")]
    internal static partial void SandboxLost(ILogger logger, string sandboxId, string description);

    [LoggerMessage(4008, LogLevel.Error, "The launcher of {Name} (process {ProcessId}) did not end when asked to; it is killed")]
    internal static partial void LauncherDidNotEnd(ILogger logger, string name, int processId);

    [LoggerMessage(4009, LogLevel.Debug, "The monitor of {Name} was already gone")]
    internal static partial void MonitorFailed(ILogger logger, string name, Exception failure);

    [LoggerMessage(4010, LogLevel.Information, "Image {Digest} imported as '{Name}' ({StoredBytes} bytes stored)")]
    internal static partial void ImageImported(ILogger logger, string digest, string name, long storedBytes);

    [LoggerMessage(4011, LogLevel.Warning, "Sandbox {SandboxId}: the host's disk is full, the guest is stopped until there is room")]
    internal static partial void HostDiskFull(ILogger logger, string sandboxId);

    [LoggerMessage(4012, LogLevel.Information, "Building a golden snapshot under {Accelerator}; this happens once")]
    internal static partial void GoldenBuilding(ILogger logger, string accelerator);

    [LoggerMessage(4014, LogLevel.Warning, "Image reference {Path} cannot be read; no image is removed while that is so")]
    internal static partial void ReferenceUnreadable(ILogger logger, string path);

    [LoggerMessage(4020, LogLevel.Debug, "Sandbox {SandboxId}: a network request of the guest ended with the sandbox: {Reason}")]
    internal static partial void GuestRequestDropped(ILogger logger, string sandboxId, string reason);

    [LoggerMessage(4021, LogLevel.Error, "Sandbox {SandboxId}: a network request of the guest failed by a defect")]
    internal static partial void GuestRequestFailed(ILogger logger, string sandboxId, Exception failure);

    [LoggerMessage(4013, LogLevel.Warning, "A left-over of an earlier run could not be removed: {Path}")]
    internal static partial void SweepFailed(ILogger logger, string path, Exception failure);

    [LoggerMessage(4030, LogLevel.Warning, "Sandbox {SandboxId} was to have {AskedMib} MiB of memory and has {ActualMib} MiB: its guest came no further")]
    internal static partial void ResizeIncomplete(ILogger logger, string sandboxId, int askedMib, int actualMib);

    [LoggerMessage(4031, LogLevel.Warning, "Sandbox {SandboxId} asked for another size and did not get it")]
    internal static partial void GuestScaleFailed(ILogger logger, string sandboxId, Exception failure);

    [LoggerMessage(4032, LogLevel.Warning, "Sandbox {SandboxId}: its limits may not match its memory until it is resized again")]
    internal static partial void ResizeUnsettled(ILogger logger, string sandboxId, Exception failure);

    [LoggerMessage(4040, LogLevel.Warning, "Sandbox {SandboxId}: its guest could not be let go on after a failure; it goes on by itself if it still can")]
    internal static partial void ReleaseFailed(ILogger logger, string sandboxId, Exception failure);

    [LoggerMessage(4041, LogLevel.Information, "Sandbox {SandboxId} forked {Count} times; it stood still for {StoppedMilliseconds} ms")]
    internal static partial void SandboxForked(ILogger logger, string sandboxId, int count, long stoppedMilliseconds);

    [LoggerMessage(4042, LogLevel.Information, "Sandbox {SandboxId} hibernated: {Pages} pages in {Bytes} bytes, {Milliseconds} ms")]
    internal static partial void SandboxHibernated(ILogger logger, string sandboxId, long pages, long bytes, long milliseconds);

    [LoggerMessage(4043, LogLevel.Information, "Sandbox {SandboxId} woken in {Milliseconds} ms, with its memory: {Memory}")]
    internal static partial void SandboxWoken(ILogger logger, string sandboxId, bool memory, long milliseconds);

    [LoggerMessage(4044, LogLevel.Information, "Sandbox {SandboxId}: checkpoint {CheckpointId} made; it stood still for {StoppedMilliseconds} ms")]
    internal static partial void CheckpointMade(ILogger logger, string sandboxId, string checkpointId, long stoppedMilliseconds);

    [LoggerMessage(4045, LogLevel.Information, "Sandbox {SandboxId} went back to checkpoint {CheckpointId} in {Milliseconds} ms, with its memory: {Memory}")]
    internal static partial void SandboxRestored(ILogger logger, string sandboxId, string checkpointId, bool memory, long milliseconds);

    [LoggerMessage(4046, LogLevel.Warning, "{Path} is damaged and left alone: {Problem}")]
    internal static partial void DamagedState(ILogger logger, string path, string problem);

    [LoggerMessage(4048, LogLevel.Warning, "Sandbox {SandboxId} crashed and can be booted from its disks: {Reason}")]
    internal static partial void SandboxCrashed(ILogger logger, string sandboxId, string reason);

    [LoggerMessage(4049, LogLevel.Error, "Sandbox {SandboxId}: a change of it could not be written down; the next host finds what was before")]
    internal static partial void RecordFailed(ILogger logger, string sandboxId, Exception failure);

    [LoggerMessage(4050, LogLevel.Error, "Sandbox {SandboxId} of an earlier host could not be recovered and is left as it is")]
    internal static partial void RecoveryFailed(ILogger logger, string sandboxId, Exception failure);

    [LoggerMessage(4051, LogLevel.Information, "Recovered in {Milliseconds} ms: {Adopted} running, {Hibernated} hibernated, {Crashed} crashed sandboxes; {Problems} problems")]
    internal static partial void Recovered(ILogger logger, int adopted, int hibernated, int crashed, int problems, long milliseconds);

    [LoggerMessage(4052, LogLevel.Debug, "Work in the background ended: {Reason}")]
    internal static partial void BackgroundEnded(ILogger logger, string reason);

    [LoggerMessage(4053, LogLevel.Debug, "Sandbox {SandboxId}: the layers of its disks have been merged")]
    internal static partial void LayersMerged(ILogger logger, string sandboxId);

    [LoggerMessage(4072, LogLevel.Warning, "The guest that was to be the golden snapshot did not get there in time; another one is booted")]
    internal static partial void GoldenTriedAgain(ILogger logger, Exception failure);

    [LoggerMessage(4070, LogLevel.Debug, "Sandbox {SandboxId}: something was written to its disks before the machine was stopped; its disks are switched again")]
    internal static partial void SwitchedTooEarly(ILogger logger, string sandboxId);

    [LoggerMessage(4060, LogLevel.Information, "Sandbox {SandboxId}: its time is up ({Action}): {Reason}")]
    internal static partial void SandboxExpired(ILogger logger, string sandboxId, SandboxExpiryAction action, string reason);

    [LoggerMessage(4061, LogLevel.Error, "Sandbox {SandboxId}: its time is up, and what was to be done then failed; {Next}")]
    internal static partial void ExpiryFailed(ILogger logger, string sandboxId, string next, Exception failure);

    [LoggerMessage(4062, LogLevel.Error, "Sandbox {SandboxId}: its expiry failed by a defect")]
    internal static partial void ExpiryDefect(ILogger logger, string sandboxId, Exception failure);

    [LoggerMessage(4063, LogLevel.Information, "Sandbox {SandboxId} exported: {Bytes} bytes in {Milliseconds} ms")]
    internal static partial void SandboxExported(ILogger logger, string sandboxId, long bytes, long milliseconds);

    [LoggerMessage(4064, LogLevel.Information, "Sandbox {SandboxId} imported: {Bytes} bytes in {Milliseconds} ms")]
    internal static partial void SandboxImported(ILogger logger, string sandboxId, long bytes, long milliseconds);

    [LoggerMessage(4071, LogLevel.Warning, "Sandbox {SandboxId}: its agent has not answered for {Milliseconds} ms")]
    internal static partial void AgentSilent(ILogger logger, string sandboxId, long milliseconds);

    [LoggerMessage(4047, LogLevel.Debug, "{Path} is not swept: {Reason}")]
    internal static partial void SweepKept(ILogger logger, string path, string reason);

    [LoggerMessage(4100, LogLevel.Warning, "Pool of {Image}: a machine ({Tier}) could not be started; tried again later")]
    internal static partial void PoolRefillFailed(ILogger logger, string image, Pools.PoolTier tier, Exception failure);

    [LoggerMessage(4101, LogLevel.Debug, "Pool of {Image}: a machine ({Tier}) is let go of: {Reason}")]
    internal static partial void PoolMachineDropped(ILogger logger, string image, Pools.PoolTier tier, Pools.PoolDrop reason);

    [LoggerMessage(4102, LogLevel.Warning, "Pool of {Image}: a machine ({Tier}) did not become a sandbox; another start takes its place")]
    internal static partial void PoolClaimFailed(ILogger logger, string image, Pools.PoolTier tier, Exception failure);

    [LoggerMessage(4103, LogLevel.Warning, "Pool of {Image}: the image cannot be used; the pool stays empty until it can")]
    internal static partial void PoolImageMissing(ILogger logger, string image, Exception failure);

    [LoggerMessage(4104, LogLevel.Information, "Pool of {Image}: not refilled while the host has only {SpareMib} MiB more than what is kept free, of {MarginMib}")]
    internal static partial void PoolHeldBack(ILogger logger, string image, long spareMib, int marginMib);

    [LoggerMessage(4105, LogLevel.Error, "Pool of {Image}: it failed by a defect and tries again later")]
    internal static partial void PoolFailed(ILogger logger, string image, Exception failure);

    [LoggerMessage(4200, LogLevel.Debug, "{Path} is left to be swept: {Reason}")]
    internal static partial void CgroupLeft(ILogger logger, string path, string reason);

    [LoggerMessage(4201, LogLevel.Warning, "The memory limit of {Path} stays higher than asked for: {Reason}")]
    internal static partial void CgroupLimitKept(ILogger logger, string path, string reason);
}
