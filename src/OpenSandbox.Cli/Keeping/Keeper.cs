using System.Text;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Images;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Cli.Running;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Keeping;

/// <summary>The process in the background that owns a sandbox: makes it, serves it, and ends with it.</summary>
internal static class Keeper
{
    /// <summary>Largest request, bytes.</summary>
    private const int MaxRequestBytes = 1 << 20;

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
                    await ImagePreparation.EnsureAllAsync(host, request.Image, steps, signals.Token).ConfigureAwait(false);
                    await steps.DisposeAsync().ConfigureAwait(false);
                    Sandbox sandbox = await host.CreateAsync(request.ToSpec(), signals.Token).ConfigureAwait(false);
                    await using (sandbox.ConfigureAwait(false))
                    {
                        log.Rename(directory.LogOf(sandbox.Id));
                        SandboxExit exit = await KeepAsync(sandbox, host.Options, channel, log, signals.Token).ConfigureAwait(false);
                        lost = exit.Reason != SandboxExitReason.Destroyed;
                        return lost ? ExitCodes.Failed : ExitCodes.Success;
                    }
                }
            }
        }
        catch (Exception failure)
        {
            log.Line(failure.ToString());
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

    private static async Task<SandboxExit> KeepAsync(
        Sandbox sandbox, SandboxHostOptions options, KeeperChannel channel, KeeperLog log, CancellationToken ending)
    {
        ControlServer server = ControlServer.Start(sandbox, options, detached: true, log.Line);
        await using (server.ConfigureAwait(false))
        {
            if (!channel.TrySend(new KeeperMessage { Ready = sandbox.Id }))
            {
                // Whoever asked for it has gone without having learnt its name.
                await sandbox.DisposeAsync().ConfigureAwait(false);
            }

            return await WaitForEndAsync(sandbox, log.Line, ending).ConfigureAwait(false);
        }
    }

    /// <summary>Waits for the end of a kept sandbox, or ends it when this process is told to end.</summary>
    internal static async Task<SandboxExit> WaitForEndAsync(Sandbox sandbox, Action<string> log, CancellationToken ending)
    {
        await Task.WhenAny(sandbox.Stopped, Task.Delay(Timeout.Infinite, ending)).ConfigureAwait(false);
        if (ending.IsCancellationRequested)
        {
            await sandbox.DisposeAsync().ConfigureAwait(false);
        }

        SandboxExit exit = await sandbox.Stopped.ConfigureAwait(false);
        if (exit.Reason != SandboxExitReason.Destroyed)
        {
            log($"sandbox {sandbox.Id} is lost: {exit.Description}");
            foreach (string line in $"{exit.StandardErrorTail}\n{exit.ConsoleTail}".Split('\n', StringSplitOptions.RemoveEmptyEntries))
            {
                log($"  {line}");
            }
        }

        return exit;
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
