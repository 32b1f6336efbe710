namespace OpenSandbox.VirtioSerial;

/// <summary>Parameters of <see cref="Operations.Exec"/>.</summary>
public sealed record ExecRequest
{
    /// <summary>Program and arguments, at least one, none with a NUL. A program without a slash is looked for in PATH.</summary>
    public required string[] Argv { get; init; }

    /// <summary>Environment on top of the sandbox's.</summary>
    public Dictionary<string, string>? Environment { get; init; }

    /// <summary>Working directory; absent: <c>/workspace</c> where it exists, else <c>/</c>.</summary>
    public string? WorkingDirectory { get; init; }

    /// <summary>User name or <c>uid[:gid]</c>; absent: <c>sandbox</c> where the image has it, else root.</summary>
    public string? User { get; init; }

    /// <summary>Whether the host will send standard input; if not, it is <c>/dev/null</c>.</summary>
    public bool StandardInput { get; init; }

    /// <summary>Milliseconds after which the command's whole cgroup is killed; absent: never.</summary>
    public long? TimeoutMilliseconds { get; init; }
}
