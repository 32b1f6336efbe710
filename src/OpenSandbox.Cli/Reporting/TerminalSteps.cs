using System.Diagnostics;
using Spectre.Console;

namespace OpenSandbox.Cli.Reporting;

/// <summary>Steps with a spinner, for people who watch.</summary>
internal sealed class TerminalSteps(ErrorWriter errors) : StepDisplay
{
    private readonly IAnsiConsole _console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
    private Step? _current;
    private Task _tail = Task.CompletedTask;

    internal override void Begin(string what)
    {
        End(succeeded: true);
        _current = new Step(what);
        _tail = ShowAsync(_tail, _current);
    }

    internal override void Detail(string text) => _current?.Tell(text);

    internal override void End(bool succeeded)
    {
        _current?.Ended.TrySetResult(succeeded);
        _current = null;
    }

    internal override Task DrainAsync() => _tail;

    /// <summary>Only one thing may be drawn at a time, so a step waits for the one before it to be wiped.</summary>
    private async Task ShowAsync(Task previous, Step step)
    {
        await previous.ConfigureAwait(false);
        bool succeeded = await _console.Status().Spinner(Spinner.Known.Dots).StartAsync(
            Markup.Escape(step.What),
            context =>
            {
                step.Show(context);
                return step.Ended.Task;
            }).ConfigureAwait(false);
        if (succeeded)
        {
            errors.Line(Done(step.What, Stopwatch.GetElapsedTime(step.Started)));
        }
    }

    private sealed class Step(string what)
    {
        private StatusContext? _context;

        internal string What { get; } = what;

        internal long Started { get; } = Stopwatch.GetTimestamp();

        internal TaskCompletionSource<bool> Ended { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        internal void Show(StatusContext context) => Volatile.Write(ref _context, context);

        internal void Tell(string text)
        {
            const int longest = 60;
            string line = ErrorWriter.OneLine(text);
            if (Volatile.Read(ref _context) is StatusContext context)
            {
                context.Status = $"{Markup.Escape(What)} [grey]{Markup.Escape(line.Length > longest ? line[..longest] : line)}[/]";
            }
        }
    }
}
