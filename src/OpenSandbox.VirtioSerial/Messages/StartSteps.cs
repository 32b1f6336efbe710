namespace OpenSandbox.VirtioSerial;

/// <summary>Values of <see cref="AgentError.Step"/>. Only added to.</summary>
public static class StartSteps
{
    /// <summary>Looking up the user.</summary>
    public const string User = "user";

    /// <summary>Making pipes or the terminal.</summary>
    public const string Streams = "streams";

    /// <summary>Making the process in its cgroup.</summary>
    public const string Clone = "clone";

    /// <summary>setsid, and making the terminal the session's.</summary>
    public const string Session = "setsid";

    /// <summary>Standard descriptors.</summary>
    public const string StandardDescriptors = "dup";

    /// <summary>Resource limits.</summary>
    public const string Limits = "setrlimit";

    /// <summary>setgroups.</summary>
    public const string Groups = "setgroups";

    /// <summary>setresgid.</summary>
    public const string Gid = "setgid";

    /// <summary>setresuid.</summary>
    public const string Uid = "setuid";

    /// <summary>chdir.</summary>
    public const string WorkingDirectory = "chdir";

    /// <summary>execve.</summary>
    public const string Exec = "exec";
}
