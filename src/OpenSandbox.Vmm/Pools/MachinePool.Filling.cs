namespace OpenSandbox.Vmm.Pools;

/// <content>The loop that keeps a pool at its size.</content>
internal sealed partial class MachinePool<TMachine>
{
    private long _hotClaims;
    private long _parkedClaims;
    private long _misses;
    private long _failedClaims;
    private long _refills;
    private long _failedRefills;
    private readonly long[] _drops = new long[Enum.GetValues<PoolDrop>().Length];

    /// <summary>What there is now, and what has been.</summary>
    internal SandboxPoolStatistics Statistics
    {
        get
        {
            lock (_gate)
            {
                PoolSize size = PoolSize.For(Options, _demand.Expect());
                return new SandboxPoolStatistics
                {
                    Image = Options.Image,
                    Workspace = Options.Image is not null && Options.Workspace,
                    Hot = Count(PoolTier.Hot),
                    Parked = Count(PoolTier.Parked),
                    HotTarget = size.Hot,
                    ParkedTarget = size.Parked,
                    HotClaims = _hotClaims,
                    ParkedClaims = _parkedClaims,
                    Misses = _misses,
                    FailedClaims = _failedClaims,
                    Refills = _refills,
                    FailedRefills = _failedRefills,
                    DroppedForAge = _drops[(int)PoolDrop.Age],
                    DroppedAsSurplus = _drops[(int)PoolDrop.Surplus],
                    DroppedForMemory = _drops[(int)PoolDrop.Memory],
                    DroppedForImage = _drops[(int)PoolDrop.Image],
                    DroppedAsEnded = _drops[(int)PoolDrop.Ended],
                };
            }
        }
    }

    private async Task RunAsync()
    {
        while (!_stopping.IsCancellationRequested)
        {
            Task woken;
            lock (_gate)
            {
                _wake = NewSignal();
                woken = _wake.Task;
            }

            PoolStep step = await StepAsync().ConfigureAwait(false);
            if (step.Wait > TimeSpan.Zero)
            {
                await WaitAsync(step, woken).ConfigureAwait(false);
            }
        }
    }

    private async Task<PoolStep> StepAsync()
    {
        try
        {
            // Files are read outside of the gate: whoever takes a machine does not wait for them.
            PoolStep step = Review(FindKind(), _source.ReadSpareMemory());
            if (step.Start is PoolTier tier)
            {
                await RefillAsync(tier).ConfigureAwait(false);
            }

            return step;
        }
        catch (Exception defect)
        {
            // The boundary of a task that nobody awaits: the host goes on without the pool's help, and the log says why.
            VmmLog.PoolFailed(_logger, Name, defect);
            return new PoolStep(null, CheckInterval, AtRest: true);
        }
    }

    private async Task WaitAsync(PoolStep step, Task woken)
    {
        ITimer timer = _time.CreateTimer(static pool => ((MachinePool<TMachine>)pool!).Wake(), this, step.Wait, Timeout.InfiniteTimeSpan);
        await using (timer.ConfigureAwait(false))
        {
            lock (_gate)
            {
                if (step.AtRest && _ending.Count == 0 && !woken.IsCompleted)
                {
                    _rest.TrySetResult();
                }
            }

            await woken.ConfigureAwait(false);
        }
    }

    private PoolKind? FindKind()
    {
        try
        {
            return _source.FindKind();
        }
        catch (Exception failure) when (failure is SandboxImageException or IOException)
        {
            if (_kind is not null || _refills + _failedRefills == 0)
            {
                VmmLog.PoolImageMissing(_logger, Name, failure);
            }

            return null;
        }
    }

    /// <summary>Lets go of what should not be there, and decides what should.</summary>
    private PoolStep Review(PoolKind? kind, long spareMemory)
    {
        lock (_gate)
        {
            _kind = kind;
            long margin = (long)Options.MemoryMarginMib << 20;
            PoolSize size = kind is null ? default : PoolSize.For(Options, _demand.Expect());
            DropAll(static entry => entry.Machine.Exited.IsCompleted, PoolDrop.Ended);
            DropAll(entry => entry.Machine.Kind != kind, PoolDrop.Image);
            DropSurplus(PoolTier.Hot, size.Hot);
            DropSurplus(PoolTier.Parked, size.Parked);
            if (spareMemory < margin / 2 && _ending.Count == 0 && (Oldest(PoolTier.Hot) ?? Oldest(PoolTier.Parked)) is Entry held)
            {
                // One at a time: how much that helps is known when it has ended, which wakes the loop.
                Drop(held, PoolDrop.Memory);
            }

            PoolTier? missing = Count(PoolTier.Hot) < size.Hot ? PoolTier.Hot
                : Count(PoolTier.Parked) < size.Parked ? PoolTier.Parked
                : null;
            NoteMemory(spareMemory, margin, missing is not null);
            if (missing is null)
            {
                _shortSince = null;
                return DropOneAged() ? new PoolStep(null, TimeSpan.Zero, AtRest: false) : new PoolStep(null, UntilNextAged(), AtRest: true);
            }

            if (spareMemory < margin)
            {
                return new PoolStep(null, CheckInterval, AtRest: true);
            }

            TimeSpan pause = _backOff.Remaining;
            if (pause > TimeSpan.Zero)
            {
                return new PoolStep(null, pause < CheckInterval ? pause : CheckInterval, AtRest: true);
            }

            TimeSpan calm = RemainingCalm();
            return calm > TimeSpan.Zero ? new PoolStep(null, calm, AtRest: false) : new PoolStep(missing, default, AtRest: false);
        }
    }

    private async Task RefillAsync(PoolTier tier)
    {
        CancellationToken stopping = _stopping.Token;
        bool placed = false;
        try
        {
            await _starting.WaitAsync(stopping).ConfigureAwait(false);
            placed = true;
            long began = _time.GetTimestamp();
            TMachine machine = await _source.StartAsync(tier, stopping).ConfigureAwait(false);
            lock (_gate)
            {
                _refills++;
                _refillTime = _time.GetElapsedTime(began);
                _ready.Add(new Entry(machine, _time.GetTimestamp()));
            }

            _ = WatchAsync(machine);
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            return;
        }
        catch (Exception failure) when (failure is SandboxException or IOException or ObjectDisposedException)
        {
            lock (_gate)
            {
                _failedRefills++;
                _backOff.Failed();
            }

            VmmLog.PoolRefillFailed(_logger, Name, tier, failure);
        }
        finally
        {
            if (placed)
            {
                _starting.Release();
            }
        }
    }

    private async Task WatchAsync(TMachine machine)
    {
        await machine.Exited.ConfigureAwait(false);
        Wake();
    }

    private void DropAll(Predicate<Entry> which, PoolDrop why)
    {
        foreach (Entry entry in _ready.FindAll(which))
        {
            Drop(entry, why);
        }
    }

    private void DropSurplus(PoolTier tier, int target)
    {
        while (Count(tier) > target)
        {
            Drop(Oldest(tier)!, PoolDrop.Surplus);
        }
    }

    /// <summary>Only out of a full pool, so that it is never emptied by age; what takes its place is started before the next one goes.</summary>
    private bool DropOneAged()
    {
        Entry? aged = _ready.Find(entry => _time.GetElapsedTime(entry.ReadyAt) >= Options.MaxAge);
        if (aged is not null)
        {
            Drop(aged, PoolDrop.Age);
        }

        return aged is not null;
    }

    private void Drop(Entry entry, PoolDrop why)
    {
        _drops[(int)why]++;
        if (why == PoolDrop.Ended)
        {
            _backOff.Failed();
        }

        VmmLog.PoolMachineDropped(_logger, Name, entry.Machine.Tier, why);
        End(entry);
    }

    private Entry? Oldest(PoolTier tier) => _ready.Find(entry => entry.Machine.Tier == tier);

    /// <summary>How long until the oldest one, which comes first, is too old; none is yet.</summary>
    private TimeSpan UntilNextAged()
    {
        TimeSpan aged = _ready.Count == 0 ? CheckInterval : Options.MaxAge - _time.GetElapsedTime(_ready[0].ReadyAt);
        return aged < CheckInterval ? Max(aged, TimeSpan.FromMilliseconds(1)) : CheckInterval;

        static TimeSpan Max(TimeSpan one, TimeSpan other) => one > other ? one : other;
    }

    private TimeSpan RemainingCalm()
    {
        if (_shortSince is not long since)
        {
            return TimeSpan.Zero;
        }

        TimeSpan quiet = Calm - _time.GetElapsedTime(_claimedAt);
        TimeSpan longest = (Calm * MaxCalms) - _time.GetElapsedTime(since);
        TimeSpan rest = quiet < longest ? quiet : longest;
        return rest > TimeSpan.Zero ? rest : TimeSpan.Zero;
    }

    private void NoteMemory(long spareMemory, long margin, bool missing)
    {
        bool heldBack = spareMemory < margin && missing;
        if (heldBack && !_heldBack)
        {
            VmmLog.PoolHeldBack(_logger, Name, spareMemory >> 20, Options.MemoryMarginMib);
        }

        _heldBack = heldBack;
    }
}
