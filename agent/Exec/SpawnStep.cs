namespace OpenSandbox.Agent;

/// <summary>Where a start failed; enum step of native/spawn.c.</summary>
internal enum SpawnStep
{
    /// <summary>It did not fail.</summary>
    None,

    /// <summary>Making the process.</summary>
    Clone,

    /// <summary>setsid.</summary>
    Session,

    /// <summary>Standard descriptors.</summary>
    StandardDescriptors,

    /// <summary>setgroups.</summary>
    Groups,

    /// <summary>setresgid.</summary>
    Gid,

    /// <summary>setresuid.</summary>
    Uid,

    /// <summary>chdir.</summary>
    WorkingDirectory,

    /// <summary>execve.</summary>
    Exec,

    /// <summary>Making the terminal the session's.</summary>
    Terminal,

    /// <summary>setrlimit.</summary>
    Limits,
}
