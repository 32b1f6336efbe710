using System.ComponentModel;
using System.Diagnostics;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Interop;

namespace OpenSandbox.Cli.Images;

/// <summary>Runs one of the checkout's build scripts in a session of its own, so that it can be ended with everything it started.</summary>
internal static class BuildScript
{
    /// <summary>Lines of a failed build that are shown.</summary>
    private const int KeptLines = 40;

    private const int SigTerm = 15;
    private const int SigKill = 9;
    private const string ScriptPrefix = "opensandbox: ";

    /// <summary>In which a script that was told to end must have cleaned up.</summary>
    private static readonly TimeSpan s_grace = TimeSpan.FromSeconds(20);

    /// <summary>Runs a script to its end. What it says is shown as details of the current step.</summary>
    /// <param name="command">The script and its arguments.</param>
    /// <param name="what">What it does, for the message when it fails.</param>
    /// <param name="steps">Where its output goes.</param>
    /// <param name="cancellationToken">Ends it and all its children; when this surfaces they are gone.</param>
    /// <exception cref="CliException">It failed; the end of its output is in the details.</exception>
    internal static async Task RunAsync(IReadOnlyList<string> command, string what, Steps steps, CancellationToken cancellationToken)
    {
        var start = new ProcessStartInfo("setsid", ["bash", .. command])
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        var tail = new Queue<string>();
        using Process process = Start(start, what);
        process.StandardInput.Close();
        Task output = ReadAsync(process.StandardOutput);
        Task error = ReadAsync(process.StandardError);
        try
        {
            await process.WaitForExitAsync(cancellationToken).ConfigureAwait(false);
            await Task.WhenAll(output, error).WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            await EndAsync(process).ConfigureAwait(false);
            throw;
        }

        if (process.ExitCode != 0)
        {
            string[] lines;
            lock (tail)
            {
                lines = [.. tail];
            }

            // The scripts end with a line that says what was wrong.
            string why = lines is [.., string last] ? $": {last}" : "";
            throw new CliException($"{what}: failed with code {process.ExitCode}{why}") { Detail = string.Join('\n', lines) };
        }

        async Task ReadAsync(StreamReader reader)
        {
            while (await reader.ReadLineAsync(CancellationToken.None).ConfigureAwait(false) is string line)
            {
                string text = line.StartsWith(ScriptPrefix, StringComparison.Ordinal) ? line[ScriptPrefix.Length..] : line;
                lock (tail)
                {
                    if (tail.Count == KeptLines)
                    {
                        tail.Dequeue();
                    }

                    tail.Enqueue(text);
                }

                // What is not the scripts' own is a failing tool's, and is shown with the failure.
                if (text.Length < line.Length)
                {
                    steps.Detail(text);
                }
            }
        }
    }

    private static Process Start(ProcessStartInfo start, string what)
    {
        try
        {
            return Process.Start(start) ?? throw new CliException($"{what}: setsid was not started");
        }
        catch (Win32Exception missing)
        {
            throw new CliException($"{what}: setsid cannot be started: {missing.Message}. Install it: apt-get install util-linux", missing);
        }
    }

    private static async Task EndAsync(Process process)
    {
        // setsid has become the script, so that its process id is also that of its group.
        int group = -process.Id;
        _ = Libc.KillProcess(group, SigTerm);
        try
        {
            await process.WaitForExitAsync().WaitAsync(s_grace).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            _ = Libc.KillProcess(group, SigKill);
            await process.WaitForExitAsync().WaitAsync(s_grace).ConfigureAwait(false);
        }
    }
}
