using System.Diagnostics;

namespace OpenSandbox.Cli.Reporting;

/// <summary>Steps as lines, for logs and pipes.</summary>
internal sealed class PlainSteps(ErrorWriter errors) : StepDisplay
{
    private string? _what;
    private long _started;

    internal override void Begin(string what)
    {
        End(succeeded: true);
        _what = what;
        _started = Stopwatch.GetTimestamp();
        errors.Line($"{what} ...");
    }

    internal override void Detail(string text) => errors.Line(text);

    internal override void End(bool succeeded)
    {
        if (_what is string what && succeeded)
        {
            errors.Line(Done(what, Stopwatch.GetElapsedTime(_started)));
        }

        _what = null;
    }

    internal override Task DrainAsync() => Task.CompletedTask;
}
