namespace OpenSandbox.Vmm;

/// <summary>How a process is started. Immutable; every setting has a default.</summary>
public sealed record StartOptions
{
    /// <summary>Smallest value of <see cref="ScrollbackBytes"/>.</summary>
    public const int MinScrollbackBytes = 4 << 10;

    /// <summary>Largest value of <see cref="ScrollbackBytes"/>.</summary>
    public const int MaxScrollbackBytes = 16 << 20;

    internal static StartOptions Default { get; } = new();

    /// <summary>Environment on top of the image's (its <c>/etc/environment</c>) and the sandbox's. Default: nothing.</summary>
    public IReadOnlyDictionary<string, string>? EnvironmentVariables { get; init; }

    /// <summary>Absolute working directory. Default: <c>/workspace</c> where there is one, else <c>/</c>.</summary>
    public string? WorkingDirectory { get; init; }

    /// <summary>User and, after a colon, group; each a name or a number. Default: <c>sandbox</c> where the image has it, else root.</summary>
    public string? User { get; init; }

    /// <summary>Time after which the process and everything it started is killed; its exit then says so. Default: none.</summary>
    public TimeSpan? Timeout { get; init; }

    /// <summary>Standard input. Has no meaning for a terminal, which always has one. Default: open.</summary>
    public ProcessInput Input { get; init; } = ProcessInput.Open;

    /// <summary>Resource limits. Default: none.</summary>
    public ProcessLimits? Limits { get; init; }

    /// <summary>Runs the process on a terminal of its own. Default: on pipes.</summary>
    public TerminalOptions? Terminal { get; init; }

    /// <summary>
    /// The process goes on when its handle is disposed of and when this host's connection to the guest ends; it can be attached to again by
    /// its id. Default: it is killed then, with everything it started.
    /// </summary>
    public bool Detached { get; init; }

    /// <summary>
    /// Bytes of output that the guest keeps for readers that come later, <see cref="MinScrollbackBytes"/> to
    /// <see cref="MaxScrollbackBytes"/>; the oldest go first. All processes together keep at most an eighth of the guest's RAM and at most
    /// 64 MiB, besides 64 KiB each: beyond that they keep less. Default: 1 MiB.
    /// </summary>
    public int ScrollbackBytes { get; init; } = 1 << 20;

    /// <summary>
    /// What happens when the handle that the start returns reads more slowly than the process writes. Default:
    /// <see cref="OutputDelivery.Lossless"/>; of a detached process, which is meant to go on by itself, <see cref="OutputDelivery.Lossy"/>.
    /// </summary>
    public OutputDelivery? Delivery { get; init; }

    /// <summary>Gives the process a report pipe as descriptor 3; for shells.</summary>
    internal bool Report { get; init; }

    internal void Validate()
    {
        new ExecOptions
        {
            EnvironmentVariables = EnvironmentVariables,
            WorkingDirectory = WorkingDirectory,
            User = User,
            Timeout = Timeout,
        }.Validate();
        Limits?.Validate();
        Terminal?.Validate();
        ArgumentOutOfRangeException.ThrowIfLessThan(ScrollbackBytes, MinScrollbackBytes);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(ScrollbackBytes, MaxScrollbackBytes);
    }
}
