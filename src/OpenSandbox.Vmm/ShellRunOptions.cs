namespace OpenSandbox.Vmm;

/// <summary>How a line is run in a shell session. Immutable; every setting has a default.</summary>
public sealed record ShellRunOptions
{
    /// <summary>Largest <see cref="StandardInput"/>, bytes.</summary>
    public const int MaxInputBytes = 64 << 20;

    internal static ShellRunOptions Default { get; } = new();

    /// <summary>
    /// Time after which the run, with everything that it has started, is killed; the result then says so. See
    /// <see cref="SandboxShell.RunAsync"/> for what becomes of the shell. Default: none.
    /// </summary>
    public TimeSpan? Timeout { get; init; }

    /// <summary>
    /// Standard input of the run, at most <see cref="MaxInputBytes"/>; it is put into a file of the guest's <c>/tmp</c> for the time of the run.
    /// Default: <c>/dev/null</c>.
    /// </summary>
    public ReadOnlyMemory<byte>? StandardInput { get; init; }

    /// <summary>
    /// Bytes of each of standard output and standard error that the result keeps; what comes after them is read and dropped, and the result says
    /// so. Default: 16 MiB; at most <see cref="ExecOptions.OutputLimit"/>.
    /// </summary>
    public int MaxOutputBytes { get; init; } = 16 << 20;

    /// <summary>
    /// Gets the output piece by piece as it comes, instead of the result. Called one at a time; the bytes are valid during the call only. What it
    /// throws ends the run as cancelling does, and comes out of <see cref="SandboxShell.RunAsync"/>. Default: the result collects.
    /// </summary>
    public Func<SandboxOutputKind, ReadOnlyMemory<byte>, ValueTask>? OnOutput { get; init; }

    internal void Validate()
    {
        new ExecOptions { Timeout = Timeout, MaxOutputBytes = MaxOutputBytes }.Validate();
        ArgumentOutOfRangeException.ThrowIfGreaterThan(StandardInput?.Length ?? 0, MaxInputBytes, nameof(StandardInput));
    }
}
