using Microsoft.Extensions.Logging;

namespace OpenSandbox.Cli.Reporting;

/// <summary>Takes what the library logs: the long work of a first run becomes a step, the rest is shown on request.</summary>
internal sealed class StepLogger(Steps steps, ErrorWriter errors, bool verbose) : ILoggerFactory, ILogger
{
    // Event ids of OpenSandbox.Vmm.
    private const int KvmNotUsed = 4002;
    private const int GoldenBuilt = 4003;
    private const int GoldenBuilding = 4012;

    /// <inheritdoc/>
    public ILogger CreateLogger(string categoryName) => this;

    /// <inheritdoc/>
    public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException("There is one destination only.");

    /// <inheritdoc/>
    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    /// <inheritdoc/>
    public bool IsEnabled(LogLevel logLevel) => logLevel >= (verbose ? LogLevel.Debug : LogLevel.Information);

    /// <inheritdoc/>
    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        switch (eventId.Id)
        {
            case GoldenBuilding:
                steps.Begin(formatter(state, exception));
                return;
            case GoldenBuilt:
                steps.End();
                break;
            case KvmNotUsed when steps.Shown && !verbose:
                // Said once, by the run that found it out; from then on `doctor` tells.
                steps.End(succeeded: false);
                errors.Line(formatter(state, exception));
                return;
            default:
                break;
        }

        if (verbose && IsEnabled(logLevel))
        {
            errors.Line(formatter(state, exception));
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}
