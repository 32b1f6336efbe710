using System.Diagnostics;
using System.Net;
using System.Text;
using System.Text.RegularExpressions;

namespace OpenSandbox.Host.Tests;

/// <summary><c>opensandbox serve</c> as a process of its own, which can be killed.</summary>
internal sealed partial class ServeProcess : IDisposable
{
    private readonly Process _process;
    private readonly StringBuilder _log = new();
    private readonly TaskCompletionSource<IPEndPoint> _listening = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private ServeProcess(Process process) => _process = process;

    /// <summary>Where it listens.</summary>
    internal IPEndPoint EndPoint { get; private set; } = null!;

    /// <summary>What it has logged.</summary>
    internal string Log
    {
        get
        {
            lock (_log)
            {
                return _log.ToString();
            }
        }
    }

    /// <summary>Starts one, and waits until it listens.</summary>
    internal static async Task<ServeProcess> StartAsync(SandboxHostOptions sandboxes, IReadOnlyDictionary<string, string>? environment = null, params string[] arguments)
    {
        string program = Path.Combine(
            AppContext.BaseDirectory, "..", "..", "OpenSandbox.Cli", new DirectoryInfo(AppContext.BaseDirectory).Name, "opensandbox.dll");
        Assert.True(File.Exists(program), $"{program} is not built");
        var start = new ProcessStartInfo("dotnet", [program, "serve", "--listen", "127.0.0.1:0", "--state", sandboxes.StateDirectory, .. arguments])
        {
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        start.Environment["OPENSANDBOX_ASSETS"] = sandboxes.AssetsDirectory;
        start.Environment["OPENSANDBOX_RUNTIME"] = sandboxes.RuntimeDirectory;
        start.Environment["OPENSANDBOX_API_KEY"] = ServerFixture.Key;
        foreach ((string name, string value) in environment ?? new Dictionary<string, string>())
        {
            start.Environment[name] = value;
        }

        var serve = new ServeProcess(Process.Start(start)!);
        serve._process.ErrorDataReceived += (_, line) => serve.Read(line.Data);
        serve._process.BeginErrorReadLine();
        try
        {
            serve.EndPoint = await serve._listening.Task.WaitAsync(Deadline.In(240));
            return serve;
        }
        catch (Exception failure)
        {
            serve.Dispose();
            throw new InvalidOperationException($"the server does not listen: {serve.Log}", failure);
        }
    }

    internal Task<RawAnswer> SendAsync(string method, string target, string? body = null, int seconds = 60) => RawHttp.SendAsync(
        EndPoint, RawHttp.Request(method, target, body is null ? null : Encoding.UTF8.GetBytes(body), $"X-API-Key: {ServerFixture.Key}"), seconds);

    /// <summary>The same, which must succeed.</summary>
    internal async Task<RawAnswer> DoAsync(string method, string target, string? body = null)
    {
        RawAnswer answer = await SendAsync(method, target, body);
        Assert.True(answer.Status is >= 200 and < 300, $"{method} {target}: {answer.Status} {answer.Text}\n{Log}");
        return answer;
    }

    /// <summary>Ends it at once, as a crash does.</summary>
    internal async Task KillAsync()
    {
        _process.Kill(); // SIGKILL, and only this process: its sandboxes are others
        await _process.WaitForExitAsync(Deadline.In(30));
    }

    /// <summary>Tells it to stop, and waits until it has.</summary>
    /// <returns>Its exit code.</returns>
    internal async Task<int> StopAsync()
    {
        using (var kill = Process.Start("kill", ["-TERM", $"{_process.Id}"]))
        {
            await kill.WaitForExitAsync(Deadline.In(30));
        }

        await _process.WaitForExitAsync(Deadline.In(60));
        return _process.ExitCode;
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            _process.WaitForExit(30_000);
        }

        _process.Dispose();
    }

    [GeneratedRegex(@"Listening on http://(?<address>[0-9.:]+)", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex Listening();

    private void Read(string? line)
    {
        if (line is null)
        {
            _listening.TrySetException(new InvalidOperationException("it has ended"));
            return;
        }

        lock (_log)
        {
            _log.AppendLine(line);
        }

        if (Listening().Match(line) is { Success: true } found)
        {
            _listening.TrySetResult(IPEndPoint.Parse(found.Groups["address"].Value));
        }
    }
}
