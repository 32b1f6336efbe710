namespace OpenSandbox.Vmm;

/// <summary>Which step of starting a process failed.</summary>
public enum ProcessStartStep
{
    /// <summary>Looking up the user: the guest has none of that name.</summary>
    User,

    /// <summary>Making pipes or the terminal.</summary>
    Streams,

    /// <summary>Making the process: the sandbox's limit of processes, or of memory.</summary>
    Fork,

    /// <summary>Setting resource limits.</summary>
    Limits,

    /// <summary>Taking on session, standard streams, user or groups.</summary>
    Identity,

    /// <summary>Entering the working directory.</summary>
    WorkingDirectory,

    /// <summary>Running the program: it is missing, or cannot be run.</summary>
    Program,
}
