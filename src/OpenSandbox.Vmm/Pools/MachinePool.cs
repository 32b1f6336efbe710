using Microsoft.Extensions.Logging;

namespace OpenSandbox.Vmm.Pools;

/// <summary>
/// Keeps machines of one kind ready. One loop starts them, one after the other, and lets go of those that are too old, too many, of no use
/// any more, or dead; whoever wants one takes it and owns it from then on.
/// </summary>
/// <typeparam name="TMachine">The machines.</typeparam>
/// <remarks>Thread-safe. Machines are taken without waiting for anything.</remarks>
internal sealed partial class MachinePool<TMachine> : IAsyncDisposable
    where TMachine : class, IPooledMachine
{
    /// <summary>No event tells of memory that runs short, or of a name that points at another image: hence a look from time to time.</summary>
    internal static readonly TimeSpan CheckInterval = TimeSpan.FromSeconds(5);

    /// <summary>Creates that never stop put off refilling for so many times <see cref="Calm"/>, and no longer.</summary>
    internal const int MaxCalms = 5;

    private readonly IPoolSource<TMachine> _source;
    private readonly SemaphoreSlim _starting;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _stopping = new();
    private readonly Lock _gate = new();
    private readonly List<Entry> _ready = [];
    private readonly HashSet<Task> _ending = [];
    private readonly PoolDemand _demand;
    private readonly PoolBackOff _backOff;
    private TaskCompletionSource _wake = NewSignal();
    private TaskCompletionSource _rest = NewSignal();
    private TimeSpan _refillTime;
    private PoolKind? _kind;
    private bool _heldBack;
    private long? _shortSince; // since the first create that has not been made up for
    private long _claimedAt; // the last create
    private Task _loop = Task.CompletedTask;
    private bool _closed;

    /// <param name="options">How many of what.</param>
    /// <param name="source">Where they come from.</param>
    /// <param name="starting">A place for each machine that may be starting, shared with other pools.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">For what goes wrong.</param>
    internal MachinePool(SandboxPoolOptions options, IPoolSource<TMachine> source, SemaphoreSlim starting, TimeProvider time, ILogger logger)
    {
        Options = options;
        _source = source;
        _starting = starting;
        _time = time;
        _logger = logger;
        _demand = new PoolDemand(time, options.HotTarget + options.ParkedTarget);
        _backOff = new PoolBackOff(time);
    }

    internal SandboxPoolOptions Options { get; }

    /// <summary>
    /// The sandbox that has just been handed out has the CPUs for itself for so long: a machine that is started beside its first command
    /// would cost it what the pool has saved. Default: 50 ms.
    /// </summary>
    internal TimeSpan Calm { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>Those that nobody has taken yet, in the order in which they were started.</summary>
    internal IReadOnlyList<TMachine> Ready
    {
        get
        {
            lock (_gate)
            {
                return [.. _ready.Select(static entry => entry.Machine)];
            }
        }
    }

    /// <summary>The image, for messages.</summary>
    private string Name => Options.Image ?? "(no image)";

    /// <summary>Begins to fill it.</summary>
    internal void Start() => _loop = Task.Run(RunAsync);

    /// <summary>Whether its machines are of a kind now.</summary>
    internal bool Serves(PoolKind kind)
    {
        lock (_gate)
        {
            return _kind == kind;
        }
    }

    /// <summary>Somebody wants a machine of its kind: counts for its size. Called once for each sandbox, before <see cref="TryTake"/>.</summary>
    internal void NoteCreate()
    {
        lock (_gate)
        {
            _demand.Note(_refillTime);
        }
    }

    /// <summary>Takes a machine, a hot one if there is one, and of these the oldest. It is the caller's; <see cref="Report"/> what became of it.</summary>
    /// <param name="kind">What it must have been started for.</param>
    /// <param name="machine">The machine.</param>
    /// <returns>Whether there was one.</returns>
    internal bool TryTake(PoolKind kind, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out TMachine? machine)
    {
        lock (_gate)
        {
            Entry? best = _closed ? null : Find(PoolTier.Hot, kind) ?? Find(PoolTier.Parked, kind);
            machine = best?.Machine;
            if (best is null)
            {
                _misses++;
            }
            else
            {
                _ready.Remove(best);
            }

            _claimedAt = _time.GetTimestamp();
            _shortSince ??= _claimedAt;
        }

        Wake();
        return machine is not null;
    }

    /// <summary>What became of a machine that was taken.</summary>
    /// <param name="tier">What it was.</param>
    /// <param name="failure">Why it is no sandbox; nothing: it is one.</param>
    internal void Report(PoolTier tier, Exception? failure)
    {
        lock (_gate)
        {
            if (failure is not null)
            {
                _failedClaims++;
                _backOff.Failed();
                VmmLog.PoolClaimFailed(_logger, Name, tier, failure);
                return;
            }

            (tier == PoolTier.Hot ? ref _hotClaims : ref _parkedClaims)++;
            _backOff.Succeeded();
        }
    }

    /// <summary>Looks at everything anew, soon.</summary>
    internal void Wake()
    {
        lock (_gate)
        {
            if (_rest.Task.IsCompleted)
            {
                _rest = NewSignal();
            }

            _wake.TrySetResult();
        }
    }

    /// <summary>
    /// Completes when there is nothing to do: the pool has its size, or something holds it back (memory, a missing image, failures).
    /// </summary>
    internal async Task WaitForRestAsync(CancellationToken cancellationToken)
    {
        Task rest;
        lock (_gate)
        {
            rest = _rest.Task;
        }

        await rest.WaitAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Stops starting machines and ends those that nobody has taken.</summary>
    public async ValueTask DisposeAsync()
    {
        lock (_gate)
        {
            _closed = true;
        }

        await _stopping.CancelAsync().ConfigureAwait(false);
        Wake();
        await _loop.ConfigureAwait(false);
        Task[] ending;
        lock (_gate)
        {
            foreach (Entry entry in _ready.ToArray())
            {
                End(entry);
            }

            ending = [.. _ending];
            _rest.TrySetResult();
        }

        await Task.WhenAll(ending).ConfigureAwait(false);
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private Entry? Find(PoolTier tier, PoolKind kind) => _ready.Find(entry =>
        entry.Machine.Tier == tier && entry.Machine.Kind == kind && !entry.Machine.Exited.IsCompleted);

    private int Count(PoolTier tier) => _ready.Count(entry => entry.Machine.Tier == tier);

    /// <summary>Lets go of a machine that nobody has taken. The gate is held.</summary>
    private void End(Entry entry)
    {
        _ready.Remove(entry);
        Task ended = EndAsync(entry.Machine);
        _ending.Add(ended);
        _ = ForgetAsync(ended);

        static async Task EndAsync(TMachine machine)
        {
            await Task.Yield(); // not under the gate
            await machine.DisposeAsync().ConfigureAwait(false);
        }
    }

    private async Task ForgetAsync(Task ended)
    {
        await ended.ConfigureAwait(false);
        lock (_gate)
        {
            _ending.Remove(ended);
        }

        Wake(); // its memory is back
    }

    /// <summary>A machine that nobody has taken, and since when.</summary>
    private sealed record Entry(TMachine Machine, long ReadyAt);
}
