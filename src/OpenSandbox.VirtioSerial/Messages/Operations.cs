namespace OpenSandbox.VirtioSerial;

/// <summary>Values of <see cref="OpenRequest.Op"/>.</summary>
public static class Operations
{
    /// <summary>Control port: clock, entropy, host name, mounts, limits. Once per session epoch, before anything else.</summary>
    public const string Resume = "resume";

    /// <summary>Runs a command.</summary>
    public const string Exec = "exec";

    /// <summary>Starts a managed process and attaches to it: one whose output is kept, and that can be attached to again.</summary>
    public const string Start = "start";

    /// <summary>Attaches to a managed process: sends what is kept of its output, and goes on with what comes.</summary>
    public const string Attach = "attach";

    /// <summary>Sends all processes, each as one line of JSON (<see cref="ProcessEntry"/>).</summary>
    public const string Processes = "processes";

    /// <summary>Waits for the end of a process.</summary>
    public const string Wait = "wait";

    /// <summary>Sends a signal to a process, or kills its cgroup.</summary>
    public const string Signal = "signal";

    /// <summary>Sends a range of a managed process's output, as far as it is kept, and ends.</summary>
    public const string Log = "log";

    /// <summary>Changes the size of a process's terminal.</summary>
    public const string Resize = "resize";

    /// <summary>What all user processes together use.</summary>
    public const string Usage = "usage";

    /// <summary>Writes a file from the stream's Data, atomically: through a temporary name in the same directory.</summary>
    public const string Write = "write";

    /// <summary>Sends a file, or a range of it, as Data.</summary>
    public const string Read = "read";

    /// <summary>Describes a path without following a final symbolic link.</summary>
    public const string Stat = "stat";

    /// <summary>Sends the entries of a directory, each as one line of JSON (<see cref="FileEntry"/>).</summary>
    public const string List = "list";

    /// <summary>Makes a directory.</summary>
    public const string MakeDirectory = "mkdir";

    /// <summary>Removes a file or a directory.</summary>
    public const string Remove = "remove";

    /// <summary>Takes Data and drops it: measures the port.</summary>
    public const string Sink = "sink";

    /// <summary>Sends <see cref="OpenRequest.Length"/> zero bytes: measures the port.</summary>
    public const string Source = "source";
}
