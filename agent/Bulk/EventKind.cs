namespace OpenSandbox.Agent;

/// <summary>What an event of the bulk loop's epoll is about; the upper byte of its tag.</summary>
internal enum EventKind : byte
{
    /// <summary>The port.</summary>
    Port,

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
}
