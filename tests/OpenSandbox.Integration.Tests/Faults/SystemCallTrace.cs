using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace OpenSandbox.Integration.Tests.Faults;

/// <summary>strace, attached to a process that is about to carry an operation out: it counts system calls, or makes one of them fail.</summary>
internal sealed partial class SystemCallTrace : IDisposable
{
    private readonly Process _strace;
    private readonly string _file;

    private SystemCallTrace(Process strace, string file)
    {
        _strace = strace;
        _file = file;
    }

    /// <summary>Attaches to all threads of a process, those to come included.</summary>
    /// <param name="process">The process.</param>
    /// <param name="calls">The system calls to look at, with commas between them.</param>
    /// <param name="injection">What to do to them, as strace has it; nothing: only count.</param>
    internal static async Task<SystemCallTrace> AttachAsync(int process, string calls, string? injection)
    {
        string file = Path.GetTempFileName();
        List<string> arguments = ["-f", "-o", file, "-e", $"trace={calls}", "-p", process.ToString(CultureInfo.InvariantCulture)];
        if (injection is not null)
        {
            arguments.AddRange(["-e", $"inject={injection}"]);
        }

        var strace = Process.Start(new ProcessStartInfo("strace", arguments) { RedirectStandardError = true })!;
        string? said = await strace.StandardError.ReadLineAsync(ExecTests.Deadline(30));
        Assert.True(said?.Contains("attached", StringComparison.Ordinal), $"strace: {said}");
        _ = strace.StandardError.ReadToEndAsync();
        return new SystemCallTrace(strace, file);
    }

    /// <summary>Whether strace is there and may trace.</summary>
    internal static string? FindProblem()
    {
        try
        {
            using var trial = Process.Start("strace", ["-qq", "-e", "trace=none", "true"]);
            trial.WaitForExit();
            return trial.ExitCode == 0 ? null : "strace may not trace here";
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return "strace is not installed (Debian: apt-get install strace)";
        }
    }

    /// <summary>When the process has ended: how often one thread made each call, at most, and how many of them were made to fail.</summary>
    internal async Task<(Dictionary<string, int> Most, int Injected)> FinishAsync()
    {
        await _strace.WaitForExitAsync(ExecTests.Deadline(30));
        string[] lines = await File.ReadAllLinesAsync(_file);
        Dictionary<string, int> most = lines.Select(static line => Call().Match(line)).Where(static match => match.Success)
            .GroupBy(static match => (Call: match.Groups["call"].Value, Thread: match.Groups["thread"].Value))
            .GroupBy(static group => group.Key.Call, static group => group.Count(), StringComparer.Ordinal)
            .ToDictionary(static group => group.Key, static group => group.Max(), StringComparer.Ordinal);
        return (most, lines.Count(static line => line.Contains("(INJECTED)", StringComparison.Ordinal)));
    }

    public void Dispose()
    {
        _strace.Dispose();
        File.Delete(_file);
    }

    [GeneratedRegex(@"^(?<thread>\d+) +(?<call>\w+)\(", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex Call();
}
