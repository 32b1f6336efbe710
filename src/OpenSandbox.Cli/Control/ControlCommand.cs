namespace OpenSandbox.Cli.Control;

/// <summary>A command to run in a kept sandbox.</summary>
internal sealed record ControlCommand
{
    /// <summary>Program and arguments.</summary>
    public required string[] Arguments { get; init; }

    /// <summary>Environment on top of the sandbox's.</summary>
    public Dictionary<string, string>? Environment { get; init; }

    /// <summary>Absolute working directory.</summary>
    public string? WorkingDirectory { get; init; }

    /// <summary>User name, or <c>uid[:gid]</c>.</summary>
    public string? User { get; init; }

    /// <summary>Time after which it is killed, milliseconds.</summary>
    public double? TimeoutMilliseconds { get; init; }

    /// <summary>Whether it has an input. A terminal always has one.</summary>
    public bool Input { get; init; }

    /// <summary>Its terminal; <see langword="null"/>: it runs on pipes.</summary>
    public ControlTerminal? Terminal { get; init; }

    /// <summary>It goes on by itself: the Result is <see cref="ControlStarted"/>, and comes at once.</summary>
    public bool Detached { get; init; }
}
