using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text;

namespace OpenSandbox.Integration.Tests.Faults;

/// <summary>A host process that carries one operation out and is ended in the middle of it: see tests/helpers/FaultHost.</summary>
internal sealed class FaultHostProcess : IAsyncDisposable
{
    internal const int Killed = 137;

    private readonly Process _process;
    private readonly Task<string> _errors;
    private readonly ConcurrentDictionary<string, TaskCompletionSource> _said = new(StringComparer.Ordinal);
    private readonly List<(string Point, int Count)> _reached = [];
    private readonly List<(string Sandbox, string Process)> _made = [];
    private readonly Lock _gate = new();
    private readonly Task _reading;
    private readonly AckLog _acks = new();
    private string? _end;

    private FaultHostProcess(Process process)
    {
        _process = process;
        _errors = process.StandardError.ReadToEndAsync();
        _reading = ReadAsync();
    }

    internal int Id => _process.Id;

    /// <summary>Output of the writer that it passed on.</summary>
    internal AckLog Acks => _acks;

    /// <summary>The failpoints that it came to, in their order.</summary>
    internal IReadOnlyList<(string Point, int Count)> Reached
    {
        get
        {
            lock (_gate)
            {
                return [.. _reached];
            }
        }
    }

    /// <summary>Sandboxes that it keeps, and the process in each.</summary>
    internal IReadOnlyList<(string Sandbox, string Process)> Made
    {
        get
        {
            lock (_gate)
            {
                return [.. _made];
            }
        }
    }

    /// <summary>Starts one, whose host gets ready while something else is done.</summary>
    internal static FaultHostProcess Start(SandboxHostOptions options, params string[] arguments)
    {
        string program = Path.Combine(
            AppContext.BaseDirectory, "..", "..", "OpenSandbox.FaultHost", new DirectoryInfo(AppContext.BaseDirectory).Name, "fault-host.dll");
        Assert.True(File.Exists(program), $"{program} is not built");
        var start = new ProcessStartInfo("dotnet", [program, .. arguments])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["OPENSANDBOX_STATE"] = options.StateDirectory;
        start.Environment["OPENSANDBOX_RUNTIME"] = options.RuntimeDirectory;
        start.Environment["OPENSANDBOX_TEST_UID"] = $"{options.FirstUid}";
        return new FaultHostProcess(Process.Start(start)!);
    }

    /// <summary>Tells it what to do, and waits until it is about to begin.</summary>
    internal async Task PrepareAsync(string operation, string? sandbox, string? checkpoint, GuestWriter? writer, string steps, IEnumerable<int> spared)
    {
        await SaidAsync("ready");
        string pids = string.Join(',', spared);
        await TellAsync(
            $"{operation} {sandbox ?? "-"} {checkpoint ?? "-"} {writer?.ProcessId ?? "-"} {writer?.Sequence ?? 0} {(steps.Length == 0 ? "-" : steps)} {(pids.Length == 0 ? "-" : pids)}");
        await SaidAsync("opened");
    }

    /// <summary>Lets it begin, and waits for its end.</summary>
    /// <returns>Its exit code, and the last thing it said: <c>done ...</c>, <c>failed ...</c> or nothing if it was killed.</returns>
    internal async Task<(int ExitCode, string? End)> RunAsync()
    {
        await TellAsync("go");
        await _process.WaitForExitAsync(ExecTests.Deadline(180));
        await _reading.WaitAsync(ExecTests.Deadline(30));
        string errors = await _errors.WaitAsync(ExecTests.Deadline(30));
        return (_process.ExitCode, _end ?? (_process.ExitCode == Killed ? null : $"crashed {errors}"));
    }

    /// <summary>Kills it, and waits until it is gone.</summary>
    internal async Task KillAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync(ExecTests.Deadline(30));
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            await KillAsync();
        }

        _process.Dispose();
    }

    private async Task TellAsync(string line)
    {
        await _process.StandardInput.WriteLineAsync(line);
        await _process.StandardInput.FlushAsync();
    }

    /// <summary>Waits until it has said a word.</summary>
    internal async Task SaidAsync(string word)
    {
        Task said = _said.GetOrAdd(word, static _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        await Task.WhenAny(said, _reading).WaitAsync(ExecTests.Deadline(120));
        Assert.True(said.IsCompleted, $"the host process ended before it said '{word}': {(_reading.IsCompleted ? await _errors : "")}");
    }

    private async Task ReadAsync()
    {
        while (await _process.StandardOutput.ReadLineAsync() is string line)
        {
            string[] words = line.Split(' ');
            switch (words[0])
            {
                case "ack":
                    _acks.Add(long.Parse(words[1], System.Globalization.CultureInfo.InvariantCulture), Encoding.ASCII.GetString(Convert.FromBase64String(words[2])));
                    break;
                case "reached":
                    lock (_gate)
                    {
                        _reached.Add((words[1], int.Parse(words[2], System.Globalization.CultureInfo.InvariantCulture)));
                    }

                    break;
                case "made":
                    lock (_gate)
                    {
                        _made.Add((words[1], words[2]));
                    }

                    break;
                case "done" or "failed":
                    _end = line;
                    break;
                default:
                    _said.GetOrAdd(words[0], static _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).TrySetResult();
                    break;
            }
        }
    }
}
