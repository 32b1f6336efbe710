namespace OpenSandbox.Vmm;

/// <summary>How a command is run. Immutable; every setting has a default.</summary>
public sealed record ExecOptions
{
    /// <summary>Largest value of <see cref="MaxOutputBytes"/>: what one array can hold.</summary>
    public const int OutputLimit = 1 << 30;

    internal static ExecOptions Default { get; } = new();

    /// <summary>Environment on top of the image's (its <c>/etc/environment</c>) and the sandbox's. Default: nothing.</summary>
    public IReadOnlyDictionary<string, string>? EnvironmentVariables { get; init; }

    /// <summary>Absolute working directory. Default: <c>/workspace</c> where there is one, else <c>/</c>.</summary>
    public string? WorkingDirectory { get; init; }

    /// <summary>User and, after a colon, group; each a name or a number. Default: <c>sandbox</c> where the image has it, else root.</summary>
    public string? User { get; init; }

    /// <summary>Time after which the command and everything it started is killed; the result then says so. Default: none.</summary>
    public TimeSpan? Timeout { get; init; }

    /// <summary>
    /// Standard input of <c>ExecAsync</c>: sent as a whole, then ended. Default: <see langword="null"/>, which is
    /// <c>/dev/null</c> for the command.
    /// </summary>
    public ReadOnlyMemory<byte>? StandardInput { get; init; }

    /// <summary>
    /// Bytes of each of standard output and standard error that <c>ExecAsync</c> keeps; what comes after them is read and
    /// dropped, and the result says so. Default: 16 MiB; at most <see cref="OutputLimit"/>.
    /// </summary>
    public int MaxOutputBytes { get; init; } = 16 << 20;

    /// <summary>Of so many bytes of output more, how many may be kept: of all commands together there may be a limit, too. Default: all.</summary>
    internal Func<int, int>? AllowOutput { get; init; }

    internal void Validate()
    {
        GuestText.ValidateEnvironment(EnvironmentVariables);
        if (WorkingDirectory is not null)
        {
            GuestText.ValidatePath(WorkingDirectory, nameof(WorkingDirectory));
        }

        if (User is not null && (User.Length is 0 or > 128 || User.Any(static c => char.IsControl(c) || char.IsWhiteSpace(c))))
        {
            throw new ArgumentException($"user '{User}': user[:group], at most 128 characters without spaces", nameof(User));
        }

        if (Timeout is TimeSpan timeout)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(timeout, TimeSpan.FromMilliseconds(1), nameof(Timeout));
            ArgumentOutOfRangeException.ThrowIfGreaterThan(timeout, TimeSpan.FromDays(366), nameof(Timeout));
        }

        ArgumentOutOfRangeException.ThrowIfNegative(MaxOutputBytes);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(MaxOutputBytes, OutputLimit);
    }
}
