using System.Diagnostics;

namespace OpenSandbox.Vmm.Tests.State;

/// <summary>This assembly in a process of its own, which may be killed.</summary>
internal sealed class ChildProcess : IDisposable
{
    private readonly Process _process;
    private readonly Task<string> _errors;

    private ChildProcess(Process process)
    {
        _process = process;
        _errors = process.StandardError.ReadToEndAsync();
    }

    /// <summary>Starts it.</summary>
    /// <param name="arguments">See <see cref="StateChild"/>.</param>
    /// <param name="environment">Variables to add.</param>
    /// <param name="before">A program and arguments to put in front, strace for instance.</param>
    internal static ChildProcess Start(
        IEnumerable<string> arguments, IReadOnlyDictionary<string, string>? environment = null, params IReadOnlyList<string> before)
    {
        string[] line = [.. before, Environment.ProcessPath is { } host && Path.GetFileName(host) == "dotnet" ? host : "dotnet",
            "exec", typeof(ChildProcess).Assembly.Location, .. arguments];
        var start = new ProcessStartInfo(line[0], line[1..]) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        foreach ((string name, string value) in environment ?? new Dictionary<string, string>())
        {
            start.Environment[name] = value;
        }

        return new ChildProcess(Process.Start(start)!);
    }

    internal async Task WaitForLineAsync(string expected)
    {
        string? line = await _process.StandardOutput.ReadLineAsync().WaitAsync(StateTest.Patience);
        if (line != expected)
        {
            _process.StandardInput.Close();
            Assert.Fail($"the child said '{line}' instead of '{expected}': {await _errors.WaitAsync(StateTest.Patience)}");
        }
    }

    /// <summary>Waits for its end.</summary>
    /// <returns>Its exit code (137: killed), what it wrote, and its errors.</returns>
    internal async Task<(int ExitCode, string Output, string Errors)> WaitAsync()
    {
        string output = await _process.StandardOutput.ReadToEndAsync().WaitAsync(StateTest.Patience);
        await _process.WaitForExitAsync().WaitAsync(StateTest.Patience);
        return (_process.ExitCode, output, await _errors);
    }

    internal void Kill() => _process.Kill();

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
        }

        _process.Dispose();
    }
}
