namespace OpenSandbox.Vmm;

/// <summary>What happened to a sandbox. Only added to.</summary>
public enum SandboxEventKind
{
    /// <summary>It has been made.</summary>
    Created,

    /// <summary>It has been made of another one's state; comes instead of <see cref="Created"/>. <see cref="SandboxEvent.CheckpointId"/> or <see cref="SandboxEvent.ParentId"/> says of which.</summary>
    Forked,

    /// <summary>It can be used; what it is after <see cref="Created"/> and <see cref="Forked"/>.</summary>
    Ready,

    /// <summary>A detached one that an earlier host has left is this host's now; <see cref="SandboxEvent.State"/> says how it was found.</summary>
    Adopted,

    /// <summary>It has been put away.</summary>
    Hibernated,

    /// <summary>It has come back. <see cref="SandboxEvent.MemoryRestored"/> says whether with its memory; if not, <see cref="SandboxEvent.Reasons"/> says why.</summary>
    Woken,

    /// <summary>It stands still in memory.</summary>
    Paused,

    /// <summary>It goes on after a pause.</summary>
    Resumed,

    /// <summary>A checkpoint of it has been made.</summary>
    Checkpointed,

    /// <summary>It has gone back to a checkpoint.</summary>
    Restored,

    /// <summary>Its limits have been changed.</summary>
    Resized,

    /// <summary>It has been told when its time is up (<see cref="Sandbox.SetExpiryAsync"/>).</summary>
    ExpiryChanged,

    /// <summary>Its time is up: <see cref="SandboxEvent.Action"/> is going to be done. What comes of it are events of their own.</summary>
    Expired,

    /// <summary>What was to be done because its time is up failed; it is tried again, several times.</summary>
    ExpiryFailed,

    /// <summary>Its VM has ended by itself. A detached one can be booted from its disks; an attached one is over.</summary>
    Crashed,

    /// <summary>It is over for this host; <see cref="SandboxEvent.Exit"/> says why. The last one, but for <see cref="Deleted"/>.</summary>
    Stopped,

    /// <summary>Nothing of it is left but its checkpoints.</summary>
    Deleted,

    /// <summary>
    /// Not of a sandbox: the subscriber was too slow, and <see cref="SandboxEvent.Lost"/> events are missing here.
    /// </summary>
    Overrun,
}
