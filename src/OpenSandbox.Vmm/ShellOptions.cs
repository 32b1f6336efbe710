namespace OpenSandbox.Vmm;

/// <summary>How a shell session is opened. Immutable; every setting has a default.</summary>
public sealed record ShellOptions
{
    internal static ShellOptions Default { get; } = new();

    /// <summary>Environment on top of the image's and the sandbox's. Default: nothing.</summary>
    public IReadOnlyDictionary<string, string>? EnvironmentVariables { get; init; }

    /// <summary>Absolute directory to begin in. Default: <c>/workspace</c> where there is one, else <c>/</c>.</summary>
    public string? WorkingDirectory { get; init; }

    /// <summary>User and, after a colon, group; each a name or a number. Default: <c>sandbox</c> where the image has it, else root.</summary>
    public string? User { get; init; }

    /// <summary>Resource limits of the shell and of each process that it starts. Default: none.</summary>
    public ProcessLimits? Limits { get; init; }
}
