using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace OpenSandbox.Host.Tests;

/// <summary>Keeps what a server logs as errors: defects, which no request may cause.</summary>
internal sealed class ErrorLog : ILoggerProvider
{
    private readonly ConcurrentQueue<string> _errors = new();

    internal IReadOnlyCollection<string> Errors => _errors;

    /// <summary>Nothing has been logged since some number of errors.</summary>
    internal void AssertNone(int after = 0)
    {
        string[] errors = [.. _errors.Skip(after)];
        Assert.True(errors.Length == 0, string.Join('\n', errors));
    }

    public ILogger CreateLogger(string categoryName) => CreateLogger(categoryName, LogLevel.Error);

    /// <summary>Keeps more than errors.</summary>
    internal ILogger CreateLogger(string categoryName, LogLevel least) => new Logger(_errors, categoryName, least);

    public void Dispose()
    {
        // Nothing is held.
    }

    private sealed class Logger(ConcurrentQueue<string> errors, string category, LogLevel least) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= least;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(logLevel))
            {
                errors.Enqueue($"{category}: {formatter(state, exception)} {exception}");
            }
        }
    }
}
