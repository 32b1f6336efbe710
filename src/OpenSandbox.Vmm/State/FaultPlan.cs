using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.State;

/// <summary>What happens at which failpoint, and a count of how often each was reached.</summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class FaultPlan
{
    private const int MaxDelayMilliseconds = 600_000;

    private readonly ConcurrentDictionary<string, int> _reached = new(StringComparer.Ordinal);
    private readonly List<Step> _steps = [];
    private readonly Action<string, int>? _observer;
    private readonly SafeFileHandle? _log;
    private readonly string? _logPath;

    private FaultPlan(SafeFileHandle? log, string? logPath, Action<string, int>? observer)
    {
        _log = log;
        _logPath = logPath;
        _observer = observer;
    }

    /// <summary>How often each place was reached.</summary>
    internal IReadOnlyDictionary<string, int> Reached => _reached;

    /// <summary>A plan that fails nothing but tells somebody of each place that is reached, with how often it was, this time included.</summary>
    internal static FaultPlan Observe(Action<string, int> observer) => new(null, null, observer);

    /// <summary>A plan from a text in the form of <c>OPENSANDBOX_FAULT</c>.</summary>
    /// <exception cref="InvalidOperationException">The text is wrong, or names a place that there is not.</exception>
    internal static FaultPlan Parse(string specification)
    {
        var plan = new FaultPlan(null, null, null);
        plan.Add(specification);
        return plan;
    }

    internal static FaultPlan? FromEnvironment(string? specification, string? logPath)
    {
        if (string.IsNullOrEmpty(specification) && string.IsNullOrEmpty(logPath))
        {
            return null;
        }

        SafeFileHandle? log = null;
        if (!string.IsNullOrEmpty(logPath))
        {
            log = Libc.Open(logPath, Libc.O_WRONLY | Libc.O_CREAT | Libc.O_APPEND | Libc.O_CLOEXEC, 0x180);
            if (log.IsInvalid)
            {
                throw new InvalidOperationException(
                    $"{Fault.LogVariable}: {Errno.LastError($"open {logPath}").Message}");
            }
        }

        var plan = new FaultPlan(log, logPath, null);
        plan.Add(specification ?? "");
        return plan;
    }

    internal void Reach(string name)
    {
        int count = _reached.AddOrUpdate(name, 1, static (_, before) => before + 1);
        Step? step = _steps.Find(step => step.Name == name && (step.At is null || step.At == count));
        Log(step is null ? $"{name}\n" : $"{name} {step.Text}\n");
        _observer?.Invoke(name, count);
        switch (step?.Action)
        {
            case FaultAction.Kill:
                Libc.KillSelf();
                break;
            case FaultAction.Throw:
                throw new FaultInjectedException(name);
            case FaultAction.NoSpace:
                throw new IOException($"failpoint {name}: {Errno.Describe(Errno.ENOSPC)}", Errno.ENOSPC);
            case FaultAction.InputOutput:
                throw new IOException($"failpoint {name}: {Errno.Describe(Errno.EIO)}", Errno.EIO);
            case FaultAction.Delay:
                // The delay is what was asked for; there is no event that it could wait for.
                using (var never = new ManualResetEventSlim())
                {
                    never.Wait(step.Milliseconds);
                }

                break;
        }
    }

    private static InvalidOperationException Wrong(string part, string why) =>
        new($"{Fault.SpecificationVariable}: '{part}' {why}; the form is NAME[:N|:*][=kill|throw|enospc|eio|delay(MS)]");

    private void Add(string specification)
    {
        foreach (string part in specification.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            string[] halves = part.Split('=', 2);
            string[] place = halves[0].Split(':', 2);
            if (!FaultPoints.All.Contains(place[0], StringComparer.Ordinal))
            {
                throw Wrong(part, "names no failpoint");
            }

            int? at = 1;
            if (place.Length == 2)
            {
                at = place[1] == "*" ? null
                    : int.TryParse(place[1], NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number > 0 ? number
                    : throw Wrong(part, "has a count that is no positive number");
            }

            string action = halves.Length == 2 ? halves[1] : "kill";
            int milliseconds = 0;
            FaultAction what = action switch
            {
                "kill" => FaultAction.Kill,
                "throw" => FaultAction.Throw,
                "enospc" => FaultAction.NoSpace,
                "eio" => FaultAction.InputOutput,
                _ when action.StartsWith("delay(", StringComparison.Ordinal) && action.EndsWith(')')
                    && int.TryParse(action.AsSpan(6, action.Length - 7), NumberStyles.None, CultureInfo.InvariantCulture, out milliseconds)
                    && milliseconds <= MaxDelayMilliseconds => FaultAction.Delay,
                _ => throw Wrong(part, "has an unknown action"),
            };
            _steps.Add(new Step(place[0], at, what, milliseconds, action));
        }
    }

    private void Log(string line)
    {
        if (_log is null)
        {
            return;
        }

        // One write for the whole line: O_APPEND keeps it in one piece next to those of other threads and processes.
        byte[] bytes = Encoding.UTF8.GetBytes(line);
        if (Libc.Write(_log, bytes, (nuint)bytes.Length) != bytes.Length)
        {
            throw new InvalidOperationException(
                $"{Fault.LogVariable}: {Errno.LastError($"write {_logPath}").Message}");
        }
    }

    private sealed record Step(string Name, int? At, FaultAction Action, int Milliseconds, string Text);
}
