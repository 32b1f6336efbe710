using Microsoft.Extensions.Hosting;
using OpenSandbox.Host.Images;
using OpenSandbox.Host.Records;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Usage;

/// <summary>Follows what happens to the sandboxes, and counts what they use.</summary>
internal sealed class UsageMeter : BackgroundService
{
    private const int EventCapacity = 16_384;
    private const int AtOnce = 4;
    private static readonly TimeSpan s_saveInterval = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan s_seeInterval = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan s_askLimit = TimeSpan.FromSeconds(5);

    private readonly SandboxHost _host;
    private readonly UsageBook _book;
    private readonly EntryStore _entries;
    private readonly TimeProvider _time;
    private readonly ILogger<UsageMeter> _logger;
    private readonly SandboxEventSubscription _events;

    /// <summary>Begins to listen: made before sandboxes are taken over, it misses none.</summary>
    public UsageMeter(SandboxHost host, UsageBook book, EntryStore entries, ServerOptions options, ILogger<UsageMeter> logger)
    {
        _host = host;
        _book = book;
        _entries = entries;
        _time = options.Sandboxes.TimeProvider;
        _logger = logger;
        _events = host.SubscribeEvents(EventCapacity);
    }

    /// <inheritdoc/>
    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken).ConfigureAwait(false);
        await SaveAsync().ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        _events.Dispose();
        base.Dispose();
    }

    /// <inheritdoc/>
    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        Task.WhenAll(ListenAsync(stoppingToken), SaveRegularlyAsync(stoppingToken), SeeRegularlyAsync(stoppingToken));

    private async Task ListenAsync(CancellationToken cancellationToken)
    {
        await foreach (SandboxEvent happened in _events.WithCancellation(cancellationToken).ConfigureAwait(false))
        {
            try
            {
                Note(happened);
            }
            catch (Exception failure)
            {
                // One event that cannot be understood does not end the counting.
                HostLog.ServiceFailed(_logger, nameof(UsageMeter), failure);
            }
        }
    }

    private void Note(SandboxEvent happened)
    {
        if (happened.Kind == SandboxEventKind.Overrun)
        {
            LookAtAll();
        }
        else if (Runs(happened.State)
            && SizeOf(happened, _host.TryGet(happened.SandboxId, out Sandbox? sandbox) ? sandbox : null, _entries.Find(happened.SandboxId)) is int memory)
        {
            _book.Run(happened.SandboxId, happened.At, memory);
        }
        else
        {
            _book.End(happened.SandboxId, happened.At);
        }
    }

    /// <summary>
    /// Memory of a sandbox that runs, MiB; nothing: it is nobody's. One that is gone by the time that its event is read has run all the same, and
    /// has an entry if it was anybody's.
    /// </summary>
    internal static int? SizeOf(SandboxEvent happened, Sandbox? sandbox, SandboxEntry? entry) => sandbox switch
    {
        null => entry is null ? null : happened.Limits?.MemoryMib ?? entry.MemoryMib,
        _ when ImageBuilder.IsBuilder(sandbox) => null,
        _ => happened.Limits?.MemoryMib ?? sandbox.Limits.MemoryMib,
    };

    private void LookAtAll()
    {
        DateTimeOffset now = _time.GetUtcNow();
        var running = new HashSet<string>(StringComparer.Ordinal);
        foreach (Sandbox sandbox in _host.List())
        {
            if (Runs(sandbox.State) && !ImageBuilder.IsBuilder(sandbox))
            {
                running.Add(sandbox.Id);
                _book.Run(sandbox.Id, now, sandbox.Limits.MemoryMib);
            }
        }

        foreach (string id in _book.Running)
        {
            if (!running.Contains(id))
            {
                _book.End(id, now);
            }
        }
    }

    private async Task SaveRegularlyAsync(CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(s_saveInterval, _time);
        while (await timer.WaitForNextTickAsync(cancellationToken).ConfigureAwait(false))
        {
            await SaveAsync().ConfigureAwait(false);
        }
    }

    private async Task SeeRegularlyAsync(CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(s_seeInterval, _time);
        while (await timer.WaitForNextTickAsync(cancellationToken).ConfigureAwait(false))
        {
            await Parallel.ForEachAsync(
                _book.Running,
                new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = cancellationToken },
                async (id, token) => await SeeAsync(id, token).ConfigureAwait(false)).ConfigureAwait(false);
        }
    }

    private async Task SaveAsync()
    {
        try
        {
            await Task.Run(() => _book.Save(_time.GetUtcNow())).ConfigureAwait(false);
        }
        catch (Exception failure)
        {
            // It stays in memory, and the next turn tries again.
            HostLog.ServiceFailed(_logger, nameof(UsageMeter), failure);
        }
    }

    private async Task SeeAsync(string id, CancellationToken cancellationToken)
    {
        if (!_host.TryGet(id, out Sandbox? sandbox) || sandbox.State != SandboxState.Running)
        {
            return;
        }

        using var deadline = new CancellationTokenSource(s_askLimit, _time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        try
        {
            SandboxLimits limits = await sandbox.GetLimitsAsync(both.Token).ConfigureAwait(false);
            _book.See(id, limits.MemoryInUseBytes, _time.GetUtcNow());
        }
        catch (Exception failure) when (!cancellationToken.IsCancellationRequested)
        {
            HostLog.BackgroundFailed(_logger, id, "asking for its memory", failure);
        }
    }

    private static bool Runs(SandboxState? state) => state is SandboxState.Running or SandboxState.Hibernating;
}
