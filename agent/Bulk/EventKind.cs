namespace OpenSandbox.Agent;

/// <summary>What an event of a loop's epoll is about; the upper byte of its tag.</summary>
internal enum EventKind : byte
{
    /// <summary>The port.</summary>
    Port = 0,

    /// <summary>Another thread has posted something.</summary>
    Mailbox,

    /// <summary>A child ended, maybe one that nobody started (an orphan).</summary>
    Children,

    /// <summary>A command ended.</summary>
    Process,

    /// <summary>A command's standard input has room.</summary>
    StandardInput,

    /// <summary>A command's standard output has bytes.</summary>
    StandardOutput,

    /// <summary>A command's standard error has bytes.</summary>
    StandardError,

    /// <summary>A group whose command is over may have become empty.</summary>
    Cgroup,

    /// <summary>A pipe whose command is over has bytes that nobody wants.</summary>
    LeftOverPipe,

    /// <summary>Files that are watched have changed.</summary>
    Watch,

    /// <summary>A managed process has reported something.</summary>
    Report,

    /// <summary>A fork may have been refused.</summary>
    ProcessLimit,

    /// <summary>The loop should stand still, or should have.</summary>
    Parking,

    /// <summary>The network loop: a program of the guest connects.</summary>
    Listener = 64,

    /// <summary>The network loop: DNS queries have come.</summary>
    DnsSocket,

    /// <summary>The network loop: a connection for DNS over TCP.</summary>
    DnsConnection,

    /// <summary>The network loop: a connection that goes through to the host.</summary>
    Tunnel,
}
