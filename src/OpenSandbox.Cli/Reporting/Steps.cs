namespace OpenSandbox.Cli.Reporting;

/// <summary>
/// Shows long work that is done once per machine. Nothing is loaded or written before there is some. Everything goes to standard error.
/// </summary>
/// <remarks>Steps follow each other, also when they are told from several threads; <see cref="DisposeAsync"/> leaves the terminal clean.</remarks>
internal sealed class Steps(ErrorWriter errors, bool? terminal = null) : IAsyncDisposable
{
    private readonly Lock _gate = new();
    private StepDisplay? _display;

    /// <summary>Whether any step has been shown.</summary>
    internal bool Shown => _display is not null;

    /// <summary>Starts a step; one that is under way counts as finished.</summary>
    internal void Begin(string what)
    {
        lock (_gate)
        {
            _display ??= Create();
            _display.Begin(what);
        }
    }

    /// <summary>Says what the step is doing now.</summary>
    internal void Detail(string text)
    {
        lock (_gate)
        {
            _display?.Detail(text);
        }
    }

    /// <summary>Ends the step, if there is one.</summary>
    internal void End(bool succeeded = true)
    {
        lock (_gate)
        {
            _display?.End(succeeded);
        }
    }

    /// <summary>Ends what is shown; what follows on the terminal is not disturbed.</summary>
    public async ValueTask DisposeAsync()
    {
        StepDisplay? display;
        lock (_gate)
        {
            display = _display;
            display?.End(succeeded: false);
        }

        if (display is not null)
        {
            await display.DrainAsync().ConfigureAwait(false);
        }
    }

    private StepDisplay Create() => terminal ?? IsTerminal() ? CreateTerminal() : new PlainSteps(errors);

    // A method of its own: the terminal library is loaded when this is compiled, not before.
    [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
    private TerminalSteps CreateTerminal() => new(errors);

    private static bool IsTerminal() =>
        !Console.IsErrorRedirected
        && Environment.GetEnvironmentVariable("TERM") is { Length: > 0 } and not "dumb"
        && string.IsNullOrEmpty(Environment.GetEnvironmentVariable("CI"));
}
