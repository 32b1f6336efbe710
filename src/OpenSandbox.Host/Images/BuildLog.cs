namespace OpenSandbox.Host.Images;

/// <summary>What a build has told so far, for any number of readers. Thread-safe.</summary>
internal sealed class BuildLog
{
    private const int MaxLines = 20_000;
    private const int MaxMessage = 2_000;

    private readonly Lock _gate = new();
    private readonly List<BuildLine> _lines = [];
    private TaskCompletionSource _changed = NewSignal();
    private bool _ended;

    /// <summary>Adds a line; what goes beyond the bounds is left out, and the log says so.</summary>
    internal void Add(BuildLine line)
    {
        TaskCompletionSource changed;
        lock (_gate)
        {
            if (_ended || _lines.Count > MaxLines)
            {
                return;
            }

            _lines.Add(_lines.Count == MaxLines
                ? line with { Message = $"more than {MaxLines} lines: the rest is left out" }
                : line.Message.Length > MaxMessage ? line with { Message = line.Message[..MaxMessage] + "…" } : line);
            changed = _changed;
            _changed = NewSignal();
        }

        changed.TrySetResult();
    }

    /// <summary>No more lines come.</summary>
    internal void End()
    {
        TaskCompletionSource changed;
        lock (_gate)
        {
            _ended = true;
            changed = _changed;
        }

        changed.TrySetResult();
    }

    /// <summary>The lines from one on, and what completes when there are more; nothing: that was all.</summary>
    internal (BuildLine[] Lines, Task? More) From(int first)
    {
        lock (_gate)
        {
            return ([.. _lines[Math.Min(first, _lines.Count)..]], _ended ? null : _changed.Task);
        }
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
