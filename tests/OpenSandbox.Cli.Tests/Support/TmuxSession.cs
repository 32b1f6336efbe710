using System.Diagnostics;
using System.Text;

namespace OpenSandbox.Cli.Tests.Support;

/// <summary>A shell in a real terminal: tmux on a server of its own. What it shows comes through a pipe, so that nothing has to be polled.</summary>
internal sealed class TmuxSession : IAsyncDisposable
{
    private readonly string _directory;
    private readonly StringBuilder _seen = new();
    private readonly FileStream _shown;
    private int _read;

    private TmuxSession(string directory, FileStream shown)
    {
        _directory = directory;
        _shown = shown;
    }

    /// <summary>Skips the calling test where there is no tmux.</summary>
    internal static void Require() => Skip.IfNot(File.Exists("/usr/bin/tmux"), "tmux is not installed (apt-get install tmux)");

    /// <summary>Starts a shell with a prompt that is easy to wait for.</summary>
    internal static async Task<TmuxSession> StartAsync(int columns, int rows)
    {
        string directory = Directory.CreateTempSubdirectory("opensandbox-test-").FullName;
        string fifo = Path.Combine(directory, "shown");
        Assert.Equal(0, await RunAsync("mkfifo", fifo));
        var session = $"{columns}";
        string socket = Path.Combine(directory, "s");
        Assert.Equal(0, await RunAsync("tmux", "-S", socket, "-f", "/dev/null", "new-session", "-d", "-s", session, "-x", $"{columns}", "-y", $"{rows}", "bash --norc --noprofile"));
        Assert.Equal(0, await RunAsync("tmux", "-S", socket, "pipe-pane", "-o", $"cat >{fifo}"));
        var shown = new FileStream(fifo, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 0);
        var result = new TmuxSession(directory, shown);
        await result.TypeAsync($"osb() {{ dotnet exec '{Path.Combine(AppContext.BaseDirectory, "opensandbox.dll")}' \"$@\"; }}; PS1='host'$'\\x3e '; cd {directory}; stty -a >before\n");
        await result.WaitForAsync("host> ");
        return result;
    }

    /// <summary>Types text; a line feed is the Enter key.</summary>
    internal async Task TypeAsync(string text)
    {
        foreach (string part in text.Split('\n').SelectMany(static (line, index) => index == 0 ? (string[])[line] : ["\n", line]).Where(static part => part.Length > 0))
        {
            Assert.Equal(0, await TmuxAsync(part == "\n" ? ["send-keys", "Enter"] : ["send-keys", "-l", part]));
        }
    }

    /// <summary>Presses a key by tmux's name for it, such as <c>C-c</c>.</summary>
    internal async Task PressAsync(string key) => Assert.Equal(0, await TmuxAsync("send-keys", key));

    internal async Task ResizeAsync(int columns, int rows) => Assert.Equal(0, await TmuxAsync("resize-window", "-x", $"{columns}", "-y", $"{rows}"));

    /// <summary>Waits until something has been shown, behind what has been waited for before.</summary>
    internal async Task WaitForAsync(string text)
    {
        byte[] buffer = new byte[4_096];
        while (true)
        {
            int at = _seen.ToString().IndexOf(text, _read, StringComparison.Ordinal);
            if (at >= 0)
            {
                _read = at + text.Length;
                return;
            }

            int count;
            try
            {
                count = await _shown.ReadAsync(buffer).AsTask().WaitAsync(CliProcess.Deadline / 3);
            }
            catch (TimeoutException late)
            {
                throw new TimeoutException($"'{text}' did not appear. There was: {_seen}", late);
            }

            Assert.True(count > 0, $"the terminal ended before '{text}' appeared. There was: {_seen}");
            _seen.Append(Encoding.UTF8.GetString(buffer, 0, count));
        }
    }

    /// <summary>Back at the prompt: the exit code, and that the terminal is as it was before.</summary>
    internal async Task<int> AssertRestoredAsync()
    {
        await TypeAsync("echo exit-co''de=$?=; stty -a >after; cmp before after && echo terminal-is-''the-same\n");
        await WaitForAsync("exit-code=");
        int start = _read;
        await WaitForAsync("=");
        int code = int.Parse(_seen.ToString()[start..(_read - 1)]);
        await WaitForAsync("terminal-is-the-same");
        await WaitForAsync("host> ");
        return code;
    }

    /// <summary>The process that is in the foreground of the terminal, below the shell.</summary>
    internal async Task<int> ForegroundAsync()
    {
        string pid = await ReadAsync("display-message", "-p", "#{pane_pid}");
        return CliProcess.DescendantsOf(int.Parse(pid)).First(static child => child.Name.StartsWith("dotnet", StringComparison.Ordinal)).Pid;
    }

    /// <summary>A variable of tmux, such as <c>alternate_on</c>.</summary>
    internal Task<string> VariableAsync(string name) => ReadAsync("display-message", "-p", $"#{{{name}}}");

    public async ValueTask DisposeAsync()
    {
        await TmuxAsync("kill-server");
        await _shown.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    private Task<int> TmuxAsync(params string[] arguments) => RunAsync("tmux", ["-S", Path.Combine(_directory, "s"), .. arguments]);

    private async Task<string> ReadAsync(params string[] arguments)
    {
        var start = new ProcessStartInfo("tmux", ["-S", Path.Combine(_directory, "s"), .. arguments]) { RedirectStandardOutput = true };
        using Process process = Process.Start(start)!;
        return (await process.StandardOutput.ReadToEndAsync().WaitAsync(CliProcess.Deadline)).Trim();
    }

    private static async Task<int> RunAsync(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { UseShellExecute = false })!;
        await process.WaitForExitAsync().WaitAsync(CliProcess.Deadline);
        return process.ExitCode;
    }
}
