namespace OpenSandbox.Vmm;

/// <summary>Where a sandbox is in its life.</summary>
public enum SandboxState
{
    /// <summary>It runs and answers.</summary>
    Running,

    /// <summary>It is being ended.</summary>
    Stopping,

    /// <summary>It has ended, or this host has let go of it.</summary>
    Stopped,

    /// <summary>It is being put away; nothing can be done with it until that is done.</summary>
    Hibernating,

    /// <summary>It is on disk, with all its memory, and takes no memory and no CPU.</summary>
    Hibernated,

    /// <summary>It is coming back.</summary>
    Waking,

    /// <summary>It is in memory and stands still.</summary>
    Paused,

    /// <summary>A detached one whose VM has ended by itself: its disks are there, and it can be booted from them (<see cref="Sandbox.WakeAsync"/>).</summary>
    Crashed,
}
