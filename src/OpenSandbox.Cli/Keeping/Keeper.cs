using System.Text;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Images;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Cli.Running;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Keeping;

/// <summary>The process in the background that owns a sandbox: makes it or takes it over, and serves it until it ends, is put away, or this process is told to end.</summary>
internal static class Keeper
{
    /// <summary>Largest request, bytes.</summary>
    private const int MaxRequestBytes = 1 << 20;

    /// <summary>SIGINT: the sandbox goes with its keeper. By every other signal the keeper lets go of it.</summary>
    internal const int UnwantedSignal = 2;

    /// <summary>Runs until the sandbox has ended.</summary>
    internal static async Task<int> RunAsync(TerminationSignals signals)
    {
        KeeperRequest request = ReadRequest();
        using KeeperChannel channel = KeeperChannel.Take();
        var directory = new KeeperDirectory(request.StateDirectory);
        try
        {
            directory.Prepare();
            using KeeperLog log = KeeperLog.TakeOver(directory.LogOfStarting(Environment.ProcessId));

            // A session of its own: neither the terminal's hang-up nor its Ctrl-C are for this process. A folder that nobody wants to unmount.
            // It cannot fail: whoever was started by this program leads no group.
            _ = Interop.Libc.SetSid();
            Directory.SetCurrentDirectory("/");
            return await RunAsync(request, directory, channel, log, signals).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException or CliException)
        {
            channel.TrySend(new KeeperMessage { Failure = Describe(failure) });
            return ExitCodes.Failed;
        }
    }

    private static async Task<int> RunAsync(
        KeeperRequest request, KeeperDirectory directory, KeeperChannel channel, KeeperLog log, TerminationSignals signals)
    {
        var errors = new ErrorWriter(
            bytes =>
            {
                log.Write(bytes);
                channel.TrySend(new KeeperMessage { Text = Encoding.UTF8.GetString(bytes) });
            },
            debug: false);
        bool lost = false;
        try
        {
            var steps = new Steps(errors, terminal: false);
            await using (steps.ConfigureAwait(false))
            {
                using var logger = new StepLogger(steps, errors, request.Verbose);
                SandboxHost host = await SandboxHost.StartAsync(request.ToHostOptions(), logger, signals.Token).ConfigureAwait(false);
                await using (host.ConfigureAwait(false))
                {
                    if (request.Open is null)
                    {
                        await ImagePreparation.EnsureAllAsync(host, request.Image, steps, signals.Token).ConfigureAwait(false);
                    }

                    await steps.DisposeAsync().ConfigureAwait(false);
                    (Sandbox sandbox, SandboxWake? woken) = request.Open is null
                        ? (await host.CreateAsync(request.ToSpec(), signals.Token).ConfigureAwait(false), null)
                        : await OpenAsync(host, request, signals.Token).ConfigureAwait(false);
                    log.Rename(directory.LogOf(sandbox.Id));
                    SandboxExit exit = await KeepAsync(sandbox, woken, request, host.Options, channel, log, signals).ConfigureAwait(false);
                    lost = IsLost(exit);
                    return lost ? ExitCodes.Failed : ExitCodes.Success;
                }
            }
        }
        catch (Exception failure)
        {
            log.Line(failure.ToString());
            File.Delete(log.Path); // before anybody is told: who has been told finds nothing of it
            channel.TrySend(new KeeperMessage { Failure = Describe(failure) });
            return ExitCodes.Failed;
        }
        finally
        {
            // Only what explains a sandbox that was lost is worth keeping; whoever waits for the sandbox has been told of everything else.
            if (!lost)
            {
                File.Delete(log.Path);
            }
        }
    }

    /// <summary>Takes over a sandbox that is there, and gets it going.</summary>
    private static async Task<(Sandbox Sandbox, SandboxWake? Woken)> OpenAsync(SandboxHost host, KeeperRequest request, CancellationToken ending)
    {
        Sandbox sandbox = await host.OpenAsync(request.Open!, ending).ConfigureAwait(false);
        try
        {
            if (request.Restore is string checkpoint)
            {
                return (sandbox, await sandbox.RestoreAsync(checkpoint, request.ToWakeOptions(), ending).ConfigureAwait(false));
            }

            if (sandbox.State == SandboxState.Running)
            {
                return (sandbox, null);
            }

            return request.Wake
                ? (sandbox, await sandbox.WakeAsync(request.ToWakeOptions(), ending).ConfigureAwait(false))
                : throw new CliException($"sandbox {sandbox.Id} does not run. Wake it: opensandbox wake {sandbox.Id}");
        }
        catch
        {
            // It is as it was, or runs on; the next one may take it over.
            await sandbox.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    private static async Task<SandboxExit> KeepAsync(
        Sandbox sandbox, SandboxWake? woken, KeeperRequest request, SandboxHostOptions options, KeeperChannel channel, KeeperLog log, TerminationSignals signals)
    {
        bool told = false;
        try
        {
            ControlServer server = ControlServer.Start(sandbox, options, detached: true, log.Line);
            await using (server.ConfigureAwait(false))
            {
                var ready = new KeeperMessage { Ready = sandbox.Id, Woken = woken is null ? null : WakeRow.From(sandbox.Id, woken) };
                told = channel.TrySend(ready);
                if (told || request.Open is not null)
                {
                    return await WaitForEndAsync(sandbox, background: true, log.Line, signals).ConfigureAwait(false);
                }

                // Whoever asked for it has gone without having learnt its name.
                await sandbox.DeleteAsync(CancellationToken.None).ConfigureAwait(false);
                return await sandbox.Stopped.ConfigureAwait(false);
            }
        }
        catch when (!told && request.Open is null)
        {
            await sandbox.DeleteAsync(CancellationToken.None).ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Whether a sandbox ended in a way that somebody will want to have explained.</summary>
    internal static bool IsLost(SandboxExit exit) => exit.Reason is not (SandboxExitReason.Destroyed or SandboxExitReason.Released);

    /// <summary>Waits for the end of a kept sandbox, or ends it or lets go of it when this process is told to end.</summary>
    /// <param name="sandbox">The sandbox.</param>
    /// <param name="background">Whether it stays when this process is ended, except by the signal that says that it is not wanted.</param>
    /// <param name="log">Gets what explains its loss.</param>
    /// <param name="signals">Tell when this process is to end.</param>
    internal static async Task<SandboxExit> WaitForEndAsync(Sandbox sandbox, bool background, Action<string> log, TerminationSignals signals)
    {
        SandboxExit exit;
        using (var over = CancellationTokenSource.CreateLinkedTokenSource(signals.Token))
        {
            Task<SandboxExit> crash = WaitForCrashAsync(sandbox, over.Token);
            await Task.WhenAny(sandbox.Stopped, crash).ConfigureAwait(false);
            await over.CancelAsync().ConfigureAwait(false);
            await ((Task)crash).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (crash.IsCompletedSuccessfully)
            {
                // Its disks are there; the next keeper boots from them.
                exit = await crash.ConfigureAwait(false);
                await sandbox.DisposeAsync().ConfigureAwait(false);
            }
            else
            {
                if (!sandbox.Stopped.IsCompleted)
                {
                    await (background && signals.Received != UnwantedSignal
                        ? sandbox.DisposeAsync().AsTask()
                        : sandbox.DeleteAsync(CancellationToken.None)).ConfigureAwait(false);
                }

                exit = await sandbox.Stopped.ConfigureAwait(false);
            }
        }

        if (IsLost(exit))
        {
            log($"sandbox {sandbox.Id} is lost: {exit.Description}");
            foreach (string line in $"{exit.StandardErrorTail}\n{exit.ConsoleTail}".Split('\n', StringSplitOptions.RemoveEmptyEntries))
            {
                log($"  {line}");
            }
        }

        return exit;
    }

    private static async Task<SandboxExit> WaitForCrashAsync(Sandbox sandbox, CancellationToken cancellationToken)
    {
        SandboxState state = sandbox.State;
        while (state != SandboxState.Crashed || sandbox.CrashReason is null)
        {
            state = await sandbox.WaitForChangeAsync(state, cancellationToken).ConfigureAwait(false);
        }

        return sandbox.CrashReason!;
    }

    private static KeeperRequest ReadRequest()
    {
        using var text = new MemoryStream();
        byte[] buffer = new byte[4_096];
        int count;
        while ((count = StandardStreams.Read(buffer)) > 0)
        {
            text.Write(buffer, 0, count);
            if (text.Length > MaxRequestBytes)
            {
                throw new UsageException("a keeper is started by 'opensandbox run --keep --detach'");
            }
        }

        try
        {
            return System.Text.Json.JsonSerializer.Deserialize(text.GetBuffer().AsSpan(0, (int)text.Length), KeeperJsonContext.Default.KeeperRequest)
                ?? throw new System.Text.Json.JsonException();
        }
        catch (System.Text.Json.JsonException)
        {
            throw new UsageException("a keeper is started by 'opensandbox run --keep --detach'");
        }
    }

    private static ControlFailure Describe(Exception failure) => new()
    {
        Code = (failure as SandboxException)?.Code.ToString() ?? "Failed",
        Message = ErrorWriter.Describe(failure),
        Detail = (failure as CliException)?.Detail,
    };
}
