namespace OpenSandbox.Vmm.State;

/// <summary>
/// The names of all failpoints. They stand nowhere else; a test reads the sources for that, and for each being reached by some code.
/// </summary>
internal static class FaultPoints
{
    /// <summary>The temporary file of an atomic replacement is written but not synced.</summary>
    internal const string ReplaceWritten = "replace.written";

    /// <summary>The temporary file is synced but not renamed.</summary>
    internal const string ReplaceSynced = "replace.synced";

    /// <summary>The new content is visible, but its directory is not synced.</summary>
    internal const string ReplaceRenamed = "replace.renamed";

    /// <summary>A replacement that failed after its rename is about to be undone.</summary>
    internal const string ReplaceUndo = "replace.undo";

    /// <summary>Before fsync of a file: an error here is one of fsync.</summary>
    internal const string SyncFile = "sync.file";

    /// <summary>Before fsync of a directory: an error here is one of fsync.</summary>
    internal const string SyncDirectory = "sync.directory";

    /// <summary>A finished staging directory is about to get its name.</summary>
    internal const string PublishBefore = "publish.before";

    /// <summary>A staging directory has its name, but its parent is not synced.</summary>
    internal const string PublishRenamed = "publish.renamed";

    /// <summary>A directory is about to become a tombstone.</summary>
    internal const string RemoveBefore = "remove.before";

    /// <summary>A directory is a tombstone, but its parent is not synced.</summary>
    internal const string RemoveRenamed = "remove.renamed";

    /// <summary>A tombstone is durable; nothing in it has been removed.</summary>
    internal const string RemoveSynced = "remove.synced";

    /// <summary>One file of a tombstone has been removed.</summary>
    internal const string RemoveFile = "remove.file";

    /// <summary>The staging directory of a new sandbox exists and is locked.</summary>
    internal const string SandboxStaged = "sandbox.staged";

    /// <summary>A sandbox exists.</summary>
    internal const string SandboxCreated = "sandbox.created";

    /// <summary>A new generation of a sandbox's manifest is about to be written.</summary>
    internal const string SandboxCommit = "sandbox.commit";

    /// <summary>A new generation of a sandbox's manifest is durable.</summary>
    internal const string SandboxCommitted = "sandbox.committed";

    /// <summary>A sandbox is a tombstone or gone; its hibernation snapshot is still there.</summary>
    internal const string SandboxDeleted = "sandbox.deleted";

    /// <summary>The staging directory of a snapshot exists.</summary>
    internal const string SnapshotStaged = "snapshot.staged";

    /// <summary>The files of a snapshot are synced; its manifest is not written.</summary>
    internal const string SnapshotSynced = "snapshot.synced";

    /// <summary>A snapshot's manifest is in its staging directory.</summary>
    internal const string SnapshotDescribed = "snapshot.described";

    /// <summary>A snapshot is published and durable.</summary>
    internal const string SnapshotPublished = "snapshot.published";

    /// <summary>A named layer exists and is empty.</summary>
    internal const string LayerCreated = "layer.created";

    /// <summary>A named layer has its content, but nothing is synced.</summary>
    internal const string LayerWritten = "layer.written";

    /// <summary>A layer is about to be frozen.</summary>
    internal const string LayerFreeze = "layer.freeze";

    /// <summary>A layer without a name is synced and about to get one.</summary>
    internal const string LayerBeforeLink = "layer.before-link";

    /// <summary>A layer has its name, but the directory is not synced.</summary>
    internal const string LayerLinked = "layer.linked";

    /// <summary>A layer is about to be removed.</summary>
    internal const string LayerRemove = "layer.remove";

    /// <summary>The sweeper has read all manifests and is about to remove what none of them names.</summary>
    internal const string SweepMarked = "sweep.marked";

    /// <summary>The guest of a sandbox that is being hibernated stands still.</summary>
    internal const string HibernateQuiesced = "hibernate.quiesced";

    /// <summary>Its machine is stopped.</summary>
    internal const string HibernateStopped = "hibernate.stopped";

    /// <summary>Its memory and devices are in files, which are not durable yet.</summary>
    internal const string HibernateWritten = "hibernate.written";

    /// <summary>The layers of its disks are frozen and have names.</summary>
    internal const string HibernateLinked = "hibernate.linked";

    /// <summary>The sandbox is hibernated; its machine is still there, stopped.</summary>
    internal const string HibernateCommitted = "hibernate.committed";

    /// <summary>Its machine is gone.</summary>
    internal const string HibernateEnded = "hibernate.ended";

    /// <summary>A checkpoint has been cut; its sandbox runs on, and nothing of it is on disk.</summary>
    internal const string CheckpointCut = "checkpoint.cut";

    /// <summary>Its memory and devices are in files, which are not durable yet.</summary>
    internal const string CheckpointWritten = "checkpoint.written";

    /// <summary>The layers of its disks have names.</summary>
    internal const string CheckpointLinked = "checkpoint.linked";

    /// <summary>The checkpoint is there.</summary>
    internal const string CheckpointPublished = "checkpoint.published";

    /// <summary>The machine of a checkpoint is up; the sandbox's old one still runs.</summary>
    internal const string RestoreStarted = "restore.started";

    /// <summary>The machine of a sandbox that is being woken is up; on disk the sandbox is still hibernated.</summary>
    internal const string WakeStarted = "wake.started";

    /// <summary>The machine of a sandbox that is being deleted is gone; what is on disk of it is still there.</summary>
    internal const string DeleteEnded = "delete.ended";

    /// <summary>The machine of a new detached sandbox is up; nothing names it.</summary>
    internal const string CreateStarted = "create.started";

    /// <summary>A new detached sandbox has its manifest.</summary>
    internal const string CreateRegistered = "create.registered";

    /// <summary>The machine of a sandbox is about to be moved to new layers, which its manifest names as pending.</summary>
    internal const string SwitchPending = "switch.pending";

    /// <summary>It writes to the new layers; its manifest still names the old ones as active.</summary>
    internal const string SwitchDone = "switch.done";

    /// <summary>A sandbox that is being deleted says so in its manifest; its machine may still run.</summary>
    internal const string DeleteMarked = "delete.marked";

    /// <summary>A sandbox that was woken is recorded as running, if it is detached.</summary>
    internal const string WakeCommitted = "wake.committed";

    /// <summary>A sandbox that goes back to a checkpoint is recorded as running on its new machine, if it is detached; the old one still runs.</summary>
    internal const string RestoreCommitted = "restore.committed";

    /// <summary>The layers of a hibernated sandbox have been merged into new ones, which nothing names.</summary>
    internal const string CompactionWritten = "compaction.written";

    /// <summary>A sandbox has been given another expiry, which is about to be written down.</summary>
    internal const string ExpirySetting = "expiry.setting";

    /// <summary>A sandbox's new expiry is on disk, if it is to survive the process; its owner has not been told.</summary>
    internal const string ExpirySet = "expiry.set";

    /// <summary>When a detached sandbox was last used is about to be written down.</summary>
    internal const string ExpiryUse = "expiry.use";

    /// <summary>A sandbox's time is up and it is going to be deleted; nothing has been done yet.</summary>
    internal const string ExpiryKill = "expiry.kill";

    /// <summary>A sandbox's time is up and it is going to be hibernated; nothing has been done yet.</summary>
    internal const string ExpiryHibernate = "expiry.hibernate";

    /// <summary>An archive is complete under a temporary name, but not synced.</summary>
    internal const string ExportWritten = "export.written";

    /// <summary>An archive is synced under its temporary name.</summary>
    internal const string ExportSynced = "export.synced";

    /// <summary>An archive has its name, but the directory is not synced.</summary>
    internal const string ExportRenamed = "export.renamed";

    /// <summary>An archive has been unpacked and checked to its end; nothing of it has a name.</summary>
    internal const string ImportChecked = "import.checked";

    /// <summary>The layers of an imported sandbox have names; its snapshot is being staged.</summary>
    internal const string ImportLinked = "import.linked";

    /// <summary>The snapshot of an imported sandbox is there; the sandbox is not.</summary>
    internal const string ImportPublished = "import.published";

    /// <summary>All names.</summary>
    internal static IReadOnlyList<string> All => [.. State, .. Sandboxes];

    /// <summary>Those that changes of a state directory come to.</summary>
    internal static IReadOnlyList<string> State { get; } =
    [
        ReplaceWritten,
        ReplaceSynced,
        ReplaceRenamed,
        ReplaceUndo,
        SyncFile,
        SyncDirectory,
        PublishBefore,
        PublishRenamed,
        RemoveBefore,
        RemoveRenamed,
        RemoveSynced,
        RemoveFile,
        SandboxStaged,
        SandboxCreated,
        SandboxCommit,
        SandboxCommitted,
        SandboxDeleted,
        SnapshotStaged,
        SnapshotSynced,
        SnapshotDescribed,
        SnapshotPublished,
        LayerCreated,
        LayerWritten,
        LayerFreeze,
        LayerBeforeLink,
        LayerLinked,
        LayerRemove,
        SweepMarked,
    ];

    /// <summary>Those that changes of sandboxes come to, beside the ones of their state directory.</summary>
    internal static IReadOnlyList<string> Sandboxes { get; } =
    [
        HibernateQuiesced,
        HibernateStopped,
        HibernateWritten,
        HibernateLinked,
        HibernateCommitted,
        HibernateEnded,
        CheckpointCut,
        CheckpointWritten,
        CheckpointLinked,
        CheckpointPublished,
        RestoreStarted,
        WakeStarted,
        DeleteEnded,
        CreateStarted,
        CreateRegistered,
        SwitchPending,
        SwitchDone,
        DeleteMarked,
        WakeCommitted,
        RestoreCommitted,
        CompactionWritten,
        ExpirySetting,
        ExpirySet,
        ExpiryUse,
        ExpiryKill,
        ExpiryHibernate,
        ExportWritten,
        ExportSynced,
        ExportRenamed,
        ImportChecked,
        ImportLinked,
        ImportPublished,
    ];
}
