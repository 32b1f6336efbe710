using System.Globalization;
using System.Runtime.ExceptionServices;
using System.Security.Cryptography;
using System.Text;
using OpenSandbox.Vmm.Expiry;

namespace OpenSandbox.Vmm;

/// <summary>A shell session: a bash (or <c>sh</c>, where there is none) whose directory, variables and functions last from run to run.</summary>
/// <remarks>
/// <para>The shell reports the end of each run, under a random token, on a pipe of its own that no program it starts inherits. So nothing that
/// is printed can pass for the end of a run, and both outputs stay as the programs wrote them. The guest passes a report on only after what
/// had been written to the outputs before it.</para>
/// <para>Thread-safe; runs at the same time take turns. What a background job writes between runs belongs to the next run.</para>
/// </remarks>
/// <example>
/// <code>
/// await using SandboxShell shell = await sandbox.OpenShellAsync();
/// await shell.RunAsync("cd /tmp; export NAME=value");
/// ShellResult result = await shell.RunAsync("pwd; echo $NAME");
/// </code>
/// </example>
public sealed class SandboxShell : IAsyncDisposable
{
    private const int StateLimit = 1 << 20;
    private const int KilledExitCode = 137;
    private const string Bootstrap =
        "if command -v bash >/dev/null 2>&1; then exec bash --noprofile --norc -s; else exec sh -s; fi";

    private readonly Sandbox _sandbox;
    private readonly StartOptions _start;
    private readonly SemaphoreSlim _turn = new(1, 1);
    private readonly List<ShellRemains> _left = [];
    private readonly ShellReports _reports = new(StateLimit);
    private readonly byte[] _buffer = new byte[64 << 10];
    private SandboxProcess _process;
    private SandboxProcessExit? _exit;
    private bool _canRestore;
    private int _disposed;

    private SandboxShell(Sandbox sandbox, StartOptions start, SandboxProcess process)
    {
        _sandbox = sandbox;
        _start = start;
        _process = process;
    }

    /// <summary>The shell's process in <see cref="Sandbox.Processes"/>; another one after a run that was killed.</summary>
    public string ProcessId => Volatile.Read(ref _process).Id;

    /// <summary>How the shell ended; <see langword="null"/> while lines can be run.</summary>
    public SandboxProcessExit? Exit => Volatile.Read(ref _exit);

    /// <summary>Runs a line (or several) and waits for its end; background jobs are not waited for.</summary>
    /// <param name="line">What the shell evaluates; no NUL.</param>
    /// <param name="options">Default: see <see cref="ShellRunOptions"/>.</param>
    /// <param name="cancellationToken">Ends the run as a timeout does.</param>
    /// <returns>Exit code and output.</returns>
    /// <remarks>
    /// When its time is up, or it is cancelled, what the run has started is killed, and so is the shell, as nothing else keeps it from going on
    /// with the rest of the line. A bash is then replaced by a new one with the state from before the run: directory, variables, functions,
    /// aliases and options; background jobs of earlier runs go on, but the new shell does not know them. A shell that is no bash, or whose state
    /// takes more than 1 MiB, has ended.
    /// </remarks>
    /// <exception cref="InvalidOperationException">The shell has ended.</exception>
    /// <exception cref="SandboxOperationException">The guest refused something, such as the file with the input.</exception>
    /// <exception cref="SandboxTimeoutException">The guest did not answer when a run was to be killed.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public async Task<ShellResult> RunAsync(string line, ShellRunOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(line);
        if (line.Contains('\0', StringComparison.Ordinal))
        {
            throw new ArgumentException("a line must not have NUL", nameof(line));
        }

        options ??= ShellRunOptions.Default;
        options.Validate();
        await _turn.WaitAsync(cancellationToken).ConfigureAwait(false);
        string token = RandomNumberGenerator.GetHexString(32, lowercase: true);
        string? inputPath = options.StandardInput is null ? null : "/tmp/.osb-input-" + token;
        try
        {
            ObjectDisposedException.ThrowIf(Volatile.Read(ref _disposed) != 0, this);

            // A run keeps the sandbox from being idle, but waking it would be of no use: the session has ended with its hibernation.
            using SandboxUse use = await _sandbox.UseAsync(cancellationToken, wake: false).ConfigureAwait(false);
            if (_exit is SandboxProcessExit exit)
            {
                throw new InvalidOperationException($"the shell has ended, with {exit}");
            }

            if (inputPath is not null)
            {
                using var input = new MemoryStream(options.StandardInput!.Value.ToArray(), writable: false);
                await _sandbox.Files.WriteAsync(
                    inputPath, input, new FileWriteOptions { Mode = 0x180, User = _start.User }, cancellationToken).ConfigureAwait(false);
            }

            return await ExecuteAsync(Compose(line, token, inputPath, options, cancellationToken), token, options, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            try
            {
                if (inputPath is not null && _sandbox.State == SandboxState.Running)
                {
                    await _sandbox.Files.DeleteAsync(inputPath, ignoreMissing: true, cancellationToken: CancellationToken.None).ConfigureAwait(false);
                }
            }
            catch (SandboxLostException)
            {
                // The file is gone with the sandbox.
            }
            finally
            {
                _turn.Release();
            }
        }
    }

    /// <summary>Ends the shell, with everything that was started in it. A run that is under way ends with an error.</summary>
    /// <returns>When that has been sent.</returns>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        await Volatile.Read(ref _process).DisposeAsync().ConfigureAwait(false);
        await _turn.WaitAsync().ConfigureAwait(false); // a run meets the end of its process, and lets go
        foreach (ShellRemains left in _left)
        {
            await left.DisposeAsync().ConfigureAwait(false);
        }

        await _process.DisposeAsync().ConfigureAwait(false);
        _turn.Release();
    }

    /// <summary>Starts a shell and waits until it is ready.</summary>
    internal static async Task<SandboxShell> OpenAsync(Sandbox sandbox, ShellOptions options, CancellationToken cancellationToken)
    {
        var start = new StartOptions
        {
            EnvironmentVariables = options.EnvironmentVariables,
            WorkingDirectory = options.WorkingDirectory,
            User = options.User,
            Limits = options.Limits,
            Report = true,
        };
        var shell = new SandboxShell(sandbox, start, await StartAsync(sandbox, start, cancellationToken).ConfigureAwait(false));
        try
        {
            await shell.GetReadyAsync(null, cancellationToken).ConfigureAwait(false);
            return shell;
        }
        catch
        {
            await shell.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    private static Task<SandboxProcess> StartAsync(Sandbox sandbox, StartOptions start, CancellationToken cancellationToken) =>
        sandbox.StartAsync(["/bin/sh", "-c", Bootstrap], start, cancellationToken);

    private async Task<ShellResult> ExecuteAsync(string script, string token, ShellRunOptions options, CancellationToken cancellationToken)
    {
        long started = _sandbox.Options.TimeProvider.GetTimestamp();

        // Not only with a timeout: the caller's own code may end the run as well.
        Task<bool> marking = _sandbox.Processes.MarkAsync(_process.Id, CancellationToken.None);
        using CancellationTokenSource? deadline = options.Timeout is TimeSpan timeout
            ? Deadlines.Start(timeout, _sandbox.Options.TimeProvider, cancellationToken)
            : null;
        using var collected = new CollectedOutput(options.MaxOutputBytes);
        string? status = null;
        ExceptionDispatchInfo? callersFailure = null;
        bool timedOut = false;
        try
        {
            (status, callersFailure) = await TalkAsync(script, token, options.OnOutput, collected, deadline?.Token ?? cancellationToken).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is not SandboxLostException and not ObjectDisposedException)
        {
            // Its time is up, the caller has cancelled it, or what the guest sends makes no sense: the next run must not meet this one.
            timedOut = failure is OperationCanceledException && !cancellationToken.IsCancellationRequested && deadline is { IsCancellationRequested: true };
            await marking.ConfigureAwait(false);
            await ReplaceAsync(started).ConfigureAwait(false);
            if (!timedOut)
            {
                throw;
            }
        }

        await marking.ConfigureAwait(false);
        if (callersFailure is not null)
        {
            try
            {
                await ReplaceAsync(started).ConfigureAwait(false);
            }
            catch (SandboxException)
            {
                // The shell says that it has ended, or the sandbox that it is lost: the caller's own failure is what has to come out.
            }

            callersFailure.Throw();
        }

        if (status is null && !timedOut)
        {
            Volatile.Write(ref _exit, await _process.WaitAsync(cancellationToken).ConfigureAwait(false));
        }

        int code = timedOut ? KilledExitCode
            : status is null ? _exit!.ExitCode
            : int.TryParse(status, NumberStyles.None, CultureInfo.InvariantCulture, out int said) ? said : 255;
        return new ShellResult(code, timedOut, _exit is not null, collected.TakeOutput(), collected.TakeError(), collected.Truncated);
    }

    /// <summary>Sends a script and reads until its end has been reported, the shell's output has ended, or the caller's own code has failed.</summary>
    private async Task<(string? Status, ExceptionDispatchInfo? CallersFailure)> TalkAsync(
        string script,
        string token,
        Func<SandboxOutputKind, ReadOnlyMemory<byte>, ValueTask>? onOutput,
        CollectedOutput collected,
        CancellationToken cancellationToken)
    {
        _reports.Clear();
        Task<bool> sending = _process.WriteAsync(Encoding.UTF8.GetBytes(script), cancellationToken).AsTask();
        string? status = null;
        while (status is null)
        {
            (SandboxOutput piece, bool isReport) = await _process.ReadAllAsync(_buffer, cancellationToken).ConfigureAwait(false);
            if (isReport)
            {
                status = _reports.Add(_buffer.AsSpan(0, piece.Count), token);
            }
            else if (piece.IsEnd)
            {
                break;
            }
            else if (onOutput is not null)
            {
                try
                {
                    await onOutput(piece.Kind, _buffer.AsMemory(0, piece.Count)).ConfigureAwait(false);
                }
                catch (Exception failure)
                {
                    // Whatever it is, it says nothing about the shell, even if it is one of the exceptions that the shell's own end throws.
                    var callersFailure = ExceptionDispatchInfo.Capture(failure);
                    await ReadStateAsync(token, cancellationToken).ConfigureAwait(false);
                    return (null, callersFailure);
                }
            }
            else
            {
                collected.Append(piece.Kind, _buffer.AsSpan(0, piece.Count));
            }
        }

        _ = await sending.ConfigureAwait(false);
        return (status, null);
    }

    /// <summary>
    /// Makes sure that the state from before a run is known, if there is to be one. The outputs and the reports come by different pipes, so that
    /// the run's first output may overtake it.
    /// </summary>
    private async Task ReadStateAsync(string token, CancellationToken cancellationToken)
    {
        using CancellationTokenSource deadline = Deadlines.Start(_sandbox.Options.RequestTimeout, _sandbox.Options.TimeProvider, cancellationToken);
        try
        {
            while (_canRestore && _reports.StateToken != token)
            {
                (SandboxOutput piece, bool isReport) = await _process.ReadAllAsync(_buffer, deadline.Token).ConfigureAwait(false);
                if (isReport ? _reports.Add(_buffer.AsSpan(0, piece.Count), token) is not null : piece.IsEnd)
                {
                    return;
                }
            }
        }
        catch (Exception failure) when (failure is OperationCanceledException or SandboxException or ObjectDisposedException)
        {
            // The state from before an earlier run has to do; if the shell is gone, whoever replaces it finds that out.
            return;
        }
    }

    /// <summary>Kills the shell and what the run has started, and puts another one with the last known state in its place, if there is one.</summary>
    private async Task ReplaceAsync(long started)
    {
        SandboxProcess old = _process;
        bool replaced = false;
        try
        {
            await _sandbox.Processes.KillSinceMarkAsync(old.Id, CancellationToken.None).ConfigureAwait(false);
            if (_canRestore && _reports.State is string state && Volatile.Read(ref _disposed) == 0)
            {
                SandboxProcess next = await StartAsync(_sandbox, _start, CancellationToken.None).ConfigureAwait(false);
                Volatile.Write(ref _process, next);
                _left.RemoveAll(static remains => remains.IsNothing);
                _left.Add(new ShellRemains(_sandbox, old));
                await GetReadyAsync(state, CancellationToken.None).ConfigureAwait(false);
                replaced = true;
            }
            else
            {
                Volatile.Write(ref _exit, await old.WaitAsync().ConfigureAwait(false));
            }
        }
        finally
        {
            if (!replaced && _exit is null)
            {
                // Also where it failed halfway: no later run may meet a shell that is still at this one.
                Volatile.Write(ref _exit, new SandboxProcessExit(
                    KilledExitCode, 9, TimedOut: true, OutOfMemory: false, OutputCut: false, _sandbox.Options.TimeProvider.GetElapsedTime(started), null));
            }
        }
    }

    /// <summary>Finds out which shell it is, and gives it a state.</summary>
    private async Task GetReadyAsync(string? state, CancellationToken cancellationToken)
    {
        string token = RandomNumberGenerator.GetHexString(32, lowercase: true);
        var script = new StringBuilder();
        if (state is not null)
        {
            // What cannot be set, such as the shell's own read-only variables, is as it should be.
            script.Append("\\command eval ").Append(Quote(state)).Append(" </dev/null >/dev/null 2>&1 3>&-\n");
        }

        script.Append("\\command printf '\\n%s %s\\n' ").Append(token).Append(" \"${BASH_VERSION:+bash}\" >&3\n");
        TimeSpan limit = _sandbox.Options.RequestTimeout;
        using CancellationTokenSource deadline = Deadlines.Start(limit, _sandbox.Options.TimeProvider, cancellationToken);
        try
        {
            using var nothing = new CollectedOutput(0);
            (string? said, _) = await TalkAsync(script.ToString(), token, null, nothing, deadline.Token).ConfigureAwait(false);
            if (said is null)
            {
                Volatile.Write(ref _exit, await _process.WaitAsync(deadline.Token).ConfigureAwait(false));
                throw new SandboxOperationException(
                    SandboxErrorCode.OperationFailed, _sandbox.Id, 0, $"sandbox {_sandbox.Id}: opening a shell: it ended at once, with {_exit}");
            }

            _canRestore = said == "bash";
        }
        catch (OperationCanceledException late)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw new SandboxTimeoutException(_sandbox.Id, "opening a shell", limit, late);
        }
    }

    private string Compose(string line, string token, string? inputPath, ShellRunOptions options, CancellationToken cancellationToken)
    {
        var script = new StringBuilder();
        if (_canRestore && (options.Timeout is not null || cancellationToken.CanBeCanceled || options.OnOutput is not null))
        {
            // Options come last: errexit must not act on a variable that cannot be set.
            script.Append("{ \\builtin declare -p; \\builtin declare -f; \\builtin alias -p; \\builtin trap -p; \\builtin umask -p; ")
                .Append("\\builtin printf 'cd -- %q\\n' \"$PWD\"; \\builtin shopt -p; \\builtin set +o; ")
                .Append("\\builtin printf '\\n%s state\\n' ").Append(token).Append("; } >&3 2>/dev/null\n");
        }

        script.Append("\\command eval ").Append(Quote(line)).Append(" <").Append(inputPath ?? "/dev/null").Append(" 3>&-\n")
            .Append("\\command printf '\\n%s %s\\n' ").Append(token).Append(" \"$?\" >&3\n");
        return script.ToString();
    }

    private static string Quote(string text) => "'" + text.Replace("'", "'\\''", StringComparison.Ordinal) + "'";
}
