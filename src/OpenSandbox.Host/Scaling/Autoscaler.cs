using Microsoft.Extensions.Hosting;
using OpenSandbox.Host.Records;
using OpenSandbox.Host.Sandboxes;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Scaling;

/// <summary>Looks at the sandboxes whose size is to follow their load, and scales them.</summary>
internal sealed class Autoscaler(SandboxService sandboxes, ServerOptions options, ILogger<Autoscaler> logger) : BackgroundService
{
    private const int AtOnce = 4;
    private static readonly TimeSpan s_interval = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_askLimit = TimeSpan.FromSeconds(5);

    private readonly Dictionary<string, MemoryTrend> _trends = new(StringComparer.Ordinal);

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(s_interval, options.Sandboxes.TimeProvider);
        while (await timer.WaitForNextTickAsync(stoppingToken).ConfigureAwait(false))
        {
            try
            {
                await LookAsync(stoppingToken).ConfigureAwait(false);
            }
            catch (Exception failure) when (failure is not OperationCanceledException)
            {
                HostLog.ServiceFailed(logger, nameof(Autoscaler), failure);
            }
        }
    }

    private async Task LookAsync(CancellationToken cancellationToken)
    {
        var followed = new List<(Sandbox Sandbox, AutoscaleSettings Settings, MemoryTrend Trend)>();
        foreach (Sandbox sandbox in sandboxes.Host.List())
        {
            if (sandbox.State == SandboxState.Running && sandboxes.EntryOf(sandbox) is { ScalingLocked: false, Autoscale: { Enabled: true } settings })
            {
                if (!_trends.TryGetValue(sandbox.Id, out MemoryTrend? trend))
                {
                    _trends[sandbox.Id] = trend = new MemoryTrend(options.Sandboxes.TimeProvider);
                }

                followed.Add((sandbox, settings, trend));
            }
        }

        // What is not followed any more, or sleeps, begins anew.
        var ids = followed.Select(static one => one.Sandbox.Id).ToHashSet(StringComparer.Ordinal);
        foreach (string id in _trends.Keys.Where(id => !ids.Contains(id)).ToArray())
        {
            _trends.Remove(id);
        }

        await Parallel.ForEachAsync(
            followed,
            new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = cancellationToken },
            async (one, token) => await LookAsync(one.Sandbox, one.Settings, one.Trend, token).ConfigureAwait(false)).ConfigureAwait(false);
    }

    private async Task LookAsync(Sandbox sandbox, AutoscaleSettings settings, MemoryTrend trend, CancellationToken cancellationToken)
    {
        int wanted = 0;
        try
        {
            SandboxLimits limits;
            using (var deadline = new CancellationTokenSource(s_askLimit, options.Sandboxes.TimeProvider))
            using (var both = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken))
            {
                limits = await sandbox.GetLimitsAsync(both.Token).ConfigureAwait(false);
            }

            trend.Add(limits.MemoryInUseBytes);
            if (AutoscaleRule.Decide(settings, limits.MemoryMib, limits.MemoryMaxBytes, trend, options.Sandboxes.TimeProvider) is not int size)
            {
                return;
            }

            wanted = size;
            trend.ScaledAt = options.Sandboxes.TimeProvider.GetTimestamp(); // a failure is not repeated at once, either
            HostLog.Autoscaled(logger, sandbox.Id, limits.MemoryMib, size, (int)(100 * limits.MemoryInUseBytes / limits.MemoryMaxBytes));
            SandboxLimits scaled = await sandbox.ResizeAsync(size, cancellationToken: cancellationToken).ConfigureAwait(false);
            await Task.Run(() => sandboxes.Entries.Change(sandbox.Id, entry => entry with { MemoryMib = scaled.MemoryMib }), CancellationToken.None)
                .ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            HostLog.AutoscaleFailed(logger, sandbox.Id, wanted, "the guest did not answer");
        }
        catch (Exception failure) when (failure is SandboxException or IOException)
        {
            HostLog.AutoscaleFailed(logger, sandbox.Id, wanted, failure.Message);
        }
    }
}
