namespace OpenSandbox.Cli.Control;

/// <summary>Names of what a keeper can be asked for.</summary>
internal static class ControlOperation
{
    /// <summary>Describes the sandbox: Result <see cref="KeptSandboxInfo"/>.</summary>
    internal const string Info = "info";

    /// <summary>Ends the sandbox: Result when nothing is left of it.</summary>
    internal const string Stop = "stop";

    /// <summary>
    /// Runs a command: Started <see cref="ControlStarted"/>, then Data and ErrorData while it writes, and Result <see cref="ControlExit"/>. The asking side sends Data
    /// within its credit, DataEnd, Signal and Resize. The command ends with the connection.
    /// </summary>
    internal const string Execute = "execute";

    /// <summary>Lists processes: Result an array of <see cref="ProcessRow"/>.</summary>
    internal const string Processes = "processes";

    /// <summary>What the sandbox uses: Result <see cref="UsageRow"/>.</summary>
    internal const string Usage = "usage";

    /// <summary>
    /// The output of a process: Data and ErrorData, an Item <see cref="ControlGap"/> for what is not kept any more, then Result. The asking
    /// side ends it early by closing the connection.
    /// </summary>
    internal const string Output = "output";

    /// <summary>
    /// Connects to a port on the guest's loopback interface: Started, then Data and DataEnd in both directions, the asking side within its
    /// credit, and Result when both have ended.
    /// </summary>
    internal const string Connect = "connect";

    /// <summary>Puts the sandbox away and lets go of it: Result <see cref="HibernationRow"/>. The keeper ends, as after <see cref="Stop"/>.</summary>
    internal const string Hibernate = "hibernate";

    /// <summary>Makes the sandbox stand still in memory: Result <see cref="PauseRow"/>.</summary>
    internal const string Pause = "pause";

    /// <summary>Lets a paused sandbox go on: Result.</summary>
    internal const string Resume = "resume";

    /// <summary>Saves the sandbox while it runs: Result <see cref="CheckpointRow"/>.</summary>
    internal const string Checkpoint = "checkpoint";

    /// <summary>Takes the sandbox back to a checkpoint: Result <see cref="WakeRow"/>.</summary>
    internal const string Restore = "restore";

    /// <summary>Makes copies of the sandbox, which run and belong to nobody: Result <see cref="ForkRow"/>.</summary>
    internal const string Fork = "fork";

    /// <summary>Describes a path: Result <see cref="ControlFileEntry"/>.</summary>
    internal const string Describe = "describe";

    /// <summary>Lists a directory: an Item <see cref="ControlFileEntry"/> each, then Result.</summary>
    internal const string List = "list";

    /// <summary>Makes a directory with its parents: Result.</summary>
    internal const string MakeDirectory = "mkdir";

    /// <summary>Reads a file: Data, then Result.</summary>
    internal const string Read = "read";

    /// <summary>Writes a file: the asking side sends Data and DataEnd, then comes Result. Without a DataEnd nothing is written.</summary>
    internal const string Write = "write";
}
