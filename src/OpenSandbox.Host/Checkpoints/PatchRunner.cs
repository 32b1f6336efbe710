using Microsoft.Extensions.Hosting;
using OpenSandbox.Host.Api;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Records;
using OpenSandbox.Host.Sandboxes;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Checkpoints;

/// <summary>
/// Runs the patches of checkpoints in the sandboxes that were made of them: when they are made and whenever they wake, each patch once, in
/// order, up to the first that fails. Thread-safe.
/// </summary>
internal sealed class PatchRunner : BackgroundService
{
    private const int MaxOutputBytes = 64 << 10;
    private const int MaxError = 2_000;
    private static readonly TimeSpan s_limit = TimeSpan.FromMinutes(5);

    private readonly SandboxService _sandboxes;
    private readonly RecordStore<CheckpointEntry> _checkpoints;
    private readonly ILogger<PatchRunner> _logger;
    private readonly SandboxEventSubscription _events;
    private readonly Lock _gate = new();
    private readonly Dictionary<string, Task> _running = new(StringComparer.Ordinal);

    /// <summary>Begins to listen.</summary>
    public PatchRunner(SandboxService sandboxes, RecordStore<CheckpointEntry> checkpoints, ILogger<PatchRunner> logger)
    {
        _sandboxes = sandboxes;
        _checkpoints = checkpoints;
        _logger = logger;
        _events = sandboxes.Host.SubscribeEvents();
    }

    /// <summary>Runs what has not been run yet. Several calls for one sandbox are one run. What fails is noted with the sandbox.</summary>
    internal Task RunAsync(Sandbox sandbox)
    {
        if (Pending(sandbox).Length == 0)
        {
            return Task.CompletedTask;
        }

        lock (_gate)
        {
            if (!_running.TryGetValue(sandbox.Id, out Task? running))
            {
                _running[sandbox.Id] = running = RunNowAsync(sandbox);
            }

            return running;
        }
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        _events.Dispose();
        base.Dispose();
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await foreach (SandboxEvent happened in _events.WithCancellation(stoppingToken).ConfigureAwait(false))
        {
            if (happened.Kind == SandboxEventKind.Woken && _sandboxes.Host.TryGet(happened.SandboxId, out Sandbox? sandbox))
            {
                _ = RunAsync(sandbox);
            }
        }
    }

    private async Task RunNowAsync(Sandbox sandbox)
    {
        await Task.Yield(); // the gate is held by the caller
        try
        {
            foreach (PatchEntry patch in Pending(sandbox))
            {
                string? error = await RunOneAsync(sandbox, patch).ConfigureAwait(false);
                await Task.Run(() => _sandboxes.Entries.Change(sandbox.Id, entry => error is null
                    ? entry with { PatchesApplied = patch.Sequence, PatchError = null }
                    : entry with { PatchError = error })).ConfigureAwait(false);
                if (error is not null)
                {
                    break;
                }
            }
        }
        catch (Exception failure)
        {
            // The boundary: waiters go on with the sandbox as it is, and its next wake tries again.
            HostLog.BackgroundFailed(_logger, sandbox.Id, "running patches", failure);
        }
        finally
        {
            lock (_gate)
            {
                _running.Remove(sandbox.Id);
            }
        }
    }

    private static async Task<string?> RunOneAsync(Sandbox sandbox, PatchEntry patch)
    {
        try
        {
            var options = new ExecOptions { WorkingDirectory = Routes.Home, Timeout = s_limit, MaxOutputBytes = MaxOutputBytes };
            ExecResult result = await sandbox.ExecAsync(["bash", "-c", patch.Script], options, CancellationToken.None).ConfigureAwait(false);
            if (result.ExitCode == 0 && !result.Exit.TimedOut)
            {
                return null;
            }

            string why = result.Exit.TimedOut ? $"not done after {s_limit.TotalSeconds} s" : $"exit code {result.ExitCode}";
            string said = result.StandardError.Trim();
            return $"patch {patch.Sequence}: {why}: {(said.Length > MaxError ? said[^MaxError..] : said)}";
        }
        catch (SandboxException failure)
        {
            return $"patch {patch.Sequence}: {ErrorMapping.TextOf(failure)}";
        }
    }

    private PatchEntry[] Pending(Sandbox sandbox)
    {
        SandboxEntry entry = _sandboxes.EntryOf(sandbox);
        return entry.FromCheckpoint is { } from && _checkpoints.Find(from) is { } checkpoint
            ? [.. checkpoint.Patches.Where(patch => patch.Sequence > entry.PatchesApplied)]
            : [];
    }
}
