using System.Diagnostics;
using System.Text;
using OpenSandbox.Interop;

namespace OpenSandbox.Cli.Tests.Support;

/// <summary>The built program, started as a process as users start it. Every wait has a deadline; what still runs at the end is killed.</summary>
internal sealed class CliProcess : IDisposable
{
    internal static readonly TimeSpan Deadline = TimeSpan.FromSeconds(100);
    private readonly Process _process;
    private readonly Task<string> _error;

    private CliProcess(Process process)
    {
        _process = process;
        _error = process.StandardError.ReadToEndAsync();
    }

    internal int Id => _process.Id;

    internal Stream Input => _process.StandardInput.BaseStream;

    internal Stream Output => _process.StandardOutput.BaseStream;

    internal StreamReader OutputText => _process.StandardOutput;

    internal static CliProcess Start(IReadOnlyDictionary<string, string>? environment, params string[] arguments)
    {
        string program = Path.Combine(AppContext.BaseDirectory, "opensandbox.dll");
        var start = new ProcessStartInfo(Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet", ["exec", program, .. arguments])
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach ((string name, string value) in environment ?? new Dictionary<string, string>())
        {
            start.Environment[name] = value;
        }

        return new CliProcess(Process.Start(start)!);
    }

    /// <summary>Runs to the end.</summary>
    internal static async Task<CliResult> RunAsync(
        byte[]? input, IReadOnlyDictionary<string, string>? environment, TimeSpan? deadline, params string[] arguments)
    {
        using CliProcess cli = Start(environment, arguments);
        using var output = new MemoryStream();
        Task reading = cli.Output.CopyToAsync(output);
        Task writing = WriteAsync();
        CliEnd end = await cli.WaitAsync(deadline);
        await Task.WhenAll(reading, writing).WaitAsync(Deadline);
        return new CliResult(end.ExitCode, output.ToArray(), end.Error);

        async Task WriteAsync()
        {
            try
            {
                await cli.Input.WriteAsync(input ?? []);
                await cli.Input.FlushAsync();
                cli._process.StandardInput.Close();
            }
            catch (IOException)
            {
                // A program that ends without reading is not what this is about; its exit code is.
            }
        }
    }

    internal static Task<CliResult> RunAsync(params string[] arguments) => RunAsync(null, null, null, arguments);

    /// <summary>Waits for the end.</summary>
    internal async Task<CliEnd> WaitAsync(TimeSpan? deadline = null)
    {
        try
        {
            await _process.WaitForExitAsync().WaitAsync(deadline ?? Deadline);
        }
        catch (TimeoutException late)
        {
            _process.Kill(entireProcessTree: true);
            throw new TimeoutException($"the program did not end in time; it said: {await _error.WaitAsync(Deadline)}", late);
        }

        return new CliEnd(_process.ExitCode, await _error.WaitAsync(Deadline));
    }

    internal void Signal(int signal) => Assert.Equal(0, Libc.KillProcess(Id, signal));

    /// <summary>All processes below this one now, by id and start time, so that a reused id is not taken for one of them.</summary>
    internal IReadOnlyList<(int Pid, string Started, string Name)> Descendants() => DescendantsOf(Id);

    /// <summary>All processes below one now.</summary>
    internal static IReadOnlyList<(int Pid, string Started, string Name)> DescendantsOf(int ancestor)
    {
        List<(int Pid, int Parent, string Started, string Name)> all = [.. ReadAll()];
        List<(int, string, string)> found = [];
        Queue<int> parents = new([ancestor]);
        while (parents.TryDequeue(out int parent))
        {
            foreach ((int pid, int _, string started, string name) in all.Where(one => one.Parent == parent))
            {
                found.Add((pid, started, name));
                parents.Enqueue(pid);
            }
        }

        return found;
    }

    /// <summary>A process by its id.</summary>
    internal static (int Pid, string Started, string Name) Describe(int pid) =>
        ReadAll().Where(one => one.Pid == pid).Select(static one => (one.Pid, one.Started, one.Name)).Single();

    /// <summary>Waits until none of the processes is there any more.</summary>
    internal static async Task WaitForEndAsync((int Pid, string Started, string Name)[] processes)
    {
        foreach ((int Pid, string Started, string Name) process in processes)
        {
            Process running;
            try
            {
                running = Process.GetProcessById(process.Pid);
            }
            catch (ArgumentException)
            {
                continue;
            }

            using (running)
            {
                if (IsAlive(process))
                {
                    await running.WaitForExitAsync().WaitAsync(Deadline);
                }
            }
        }
    }

    internal static bool IsAlive((int Pid, string Started, string Name) process) =>
        ReadAll().Any(one => one.Pid == process.Pid && one.Started == process.Started);

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
        }

        _process.Dispose();
    }

    private static IEnumerable<(int Pid, int Parent, string Started, string Name)> ReadAll()
    {
        foreach (string directory in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(directory), out int pid))
            {
                continue;
            }

            string text;
            try
            {
                text = File.ReadAllText(Path.Combine(directory, "stat"), Encoding.Latin1);
            }
            catch (IOException)
            {
                // It ended between the two.
                continue;
            }

            // proc(5): "pid (name) state ppid ..."; the name may hold anything, and field 22 is the start time.
            int name = text.LastIndexOf(')');
            string[] fields = text[(name + 2)..].Split(' ');
            if (fields[0] is not ("Z" or "X"))
            {
                yield return (pid, int.Parse(fields[1]), fields[19], text[(text.IndexOf('(') + 1)..name]);
            }
        }
    }
}

internal sealed record CliEnd(int ExitCode, string Error);

internal sealed record CliResult(int ExitCode, byte[] Output, string Error)
{
    internal string Text => Encoding.UTF8.GetString(Output);
}
