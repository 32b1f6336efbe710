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

    /// <summary>Network port, host to agent: a connection to a TCP port inside the guest. Data is the connection's, both ways.</summary>
    public const string Connect = "connect";

    /// <summary>Network port, agent to host: a connection to an address outside. Data is the connection's, both ways.</summary>
    public const string Tcp = "tcp";

    /// <summary>Network port, agent to host: a DNS query.</summary>
    public const string Dns = "dns";

    /// <summary>Network port, agent to host: the guest wants another size.</summary>
    public const string Scale = "scale";

    /// <summary>Sends the entries below a directory that match a glob, as <see cref="List"/> does.</summary>
    public const string Search = "search";

    /// <summary>Gives a file or a tree another path, also on another file system.</summary>
    public const string Move = "move";

    /// <summary>Copies a file or a tree.</summary>
    public const string Copy = "copy";

    /// <summary>Changes mode, owner and group.</summary>
    public const string Attributes = "attributes";

    /// <summary>Replaces bytes in files, each atomically; sends an <see cref="ItemReply"/> as a line of JSON for each.</summary>
    public const string Replace = "replace";

    /// <summary>Writes several files from one stream of records; sends an <see cref="ItemReply"/> as a line of JSON for each.</summary>
    public const string WriteMany = "write_many";

    /// <summary>Sends several files as one stream of records, each with an <see cref="ItemReply"/> as its head.</summary>
    public const string ReadMany = "read_many";

    /// <summary>Describes several paths; sends an <see cref="ItemReply"/> as a line of JSON for each.</summary>
    public const string StatMany = "stat_many";

    /// <summary>Sends what happens to files, each event as a line of JSON (<see cref="WatchEvent"/>), until it is cancelled.</summary>
    public const string Watch = "watch";

    /// <summary>Sets the limits of a sandbox that runs, and reports them.</summary>
    public const string Limits = "limits";

    /// <summary>Takes Data and drops it: measures the port.</summary>
    public const string Sink = "sink";

    /// <summary>Sends <see cref="OpenRequest.Length"/> zero bytes: measures the port.</summary>
    public const string Source = "source";
}
