using OpenSandbox.Vmm.State;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Vmm.Tests.State;

/// <summary>Who may do what at the same time, between stores of one process and between processes.</summary>
[Collection(LocksCollection.Name)]
public sealed class StateLockTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly StateStore _store;
    private readonly StateStore _other;

    public StateLockTests()
    {
        _store = StateStore.Open(_directory.Path);
        _other = StateStore.Open(_directory.Path);
    }

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void Leases_Shared_AreGivenToManyAndKeepTheSweeperOut()
    {
        using (StateLease first = _store.Enter())
        using (StateLease second = _other.Enter())
        {
            Assert.Null(_store.TryEnterExclusive());
            Assert.Null(StateSweeper.TrySweep(_other));
        }

        using StateLease? alone = _store.TryEnterExclusive();
        Assert.NotNull(alone);
        Assert.Null(_other.TryEnter());
    }

    [Fact]
    public void Lease_OfAnotherStore_IsRefused()
    {
        using StateLease lease = _other.Enter();

        Assert.Throws<InvalidOperationException>(() => _store.StageSnapshot(lease));
    }

    [Fact]
    public async Task Sweep_WaitingForAnOperation_BeginsWhenItEnds()
    {
        StateLease operation = _store.Enter();
        Task<SweepReport> sweep = StateSweeper.SweepAsync(_other, null, CancellationToken.None);
        Assert.False(sweep.IsCompleted);

        operation.Dispose();

        Assert.Empty((await sweep.WaitAsync(StateTest.Patience)).Kept);
    }

    /// <summary>Two operations that take turns so that there is always one: flock alone would never let the sweeper in.</summary>
    [Fact]
    public async Task Sweep_WhileThereIsAlwaysAnOperation_ComesToItsTurn()
    {
        var impatient = StateStore.Open(_directory.Path, TimeSpan.FromMilliseconds(20));
        using var ended = new CancellationTokenSource();
        Task operations = Task.Run(async () =>
        {
            StateLease current = await _store.EnterAsync(CancellationToken.None);
            while (!ended.IsCancellationRequested)
            {
                if (_store.TryEnter() is StateLease next)
                {
                    current.Dispose();
                    current = next;
                }
                else
                {
                    // The sweeper insists: the operation ends, and the next one waits for its turn.
                    current.Dispose();
                    current = await _store.EnterAsync(CancellationToken.None);
                }
            }

            current.Dispose();
        });

        for (int sweep = 0; sweep < 3; sweep++)
        {
            await StateSweeper.SweepAsync(impatient, null, CancellationToken.None).WaitAsync(StateTest.Patience);
        }

        await ended.CancelAsync();
        await operations.WaitAsync(StateTest.Patience);
    }

    [Fact]
    public async Task Sweep_WhileAnOperationNeverEnds_StopsNobodyForLong()
    {
        var impatient = StateStore.Open(_directory.Path, TimeSpan.FromMilliseconds(1));
        using StateLease endless = _store.Enter();
        using var giveUp = new CancellationTokenSource();
        Task<SweepReport> sweep = StateSweeper.SweepAsync(impatient, null, giveUp.Token);
        for (int nested = 0; nested < 2; nested++)
        {
            (await _store.EnterAsync(CancellationToken.None).WaitAsync(StateTest.Patience)).Dispose();
        }

        await giveUp.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sweep.WaitAsync(StateTest.Patience));
    }

    [Fact]
    public async Task Operation_WaitingForTheSweeper_BeginsWhenItEnds()
    {
        StateLease alone = _store.TryEnterExclusive()!;
        Task<StateLease>[] waiting = [.. Enumerable.Range(0, 5).Select(_ => _other.EnterAsync(CancellationToken.None))];

        alone.Dispose();

        foreach (Task<StateLease> one in waiting)
        {
            (await one.WaitAsync(StateTest.Patience)).Dispose();
        }
    }

    [Fact]
    public async Task Waits_GivenUp_NeitherKeepTheLockNorPileUpThreads()
    {
        _store.AddSandbox();
        SandboxLock owner = _store.TryLockSandbox(Samples.SandboxId)!;
        for (int attempt = 0; attempt < 50; attempt++)
        {
            using var giveUp = new CancellationTokenSource();
            Task<SandboxLock> waiting = _other.LockSandboxAsync(Samples.SandboxId, giveUp.Token);
            await giveUp.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting.WaitAsync(StateTest.Patience));
        }

        Assert.True(FileLockQueue.ThreadsFor(_store.Layout.SandboxLock(Samples.SandboxId)) <= 1, "each wait that was given up has left a thread");
        Task<SandboxLock> last = _other.LockSandboxAsync(Samples.SandboxId, CancellationToken.None);
        owner.Dispose();
        (await last.WaitAsync(StateTest.Patience)).Dispose();

        using SandboxLock? again = await _store.LockSandboxAsync(Samples.SandboxId, CancellationToken.None).WaitAsync(StateTest.Patience);
        Assert.NotNull(again);
    }

    [Fact]
    public async Task Wait_CancelledBefore_TakesNothing()
    {
        _store.AddSandbox();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => _store.LockSandboxAsync(Samples.SandboxId, new CancellationToken(canceled: true)));

        using SandboxLock? free = _other.TryLockSandbox(Samples.SandboxId);
        Assert.NotNull(free);
    }

    [Fact]
    public async Task Wait_ForASandboxThatIsDeletedMeanwhile_SaysSo()
    {
        _store.AddSandbox();
        SandboxLock owner = _store.TryLockSandbox(Samples.SandboxId)!;
        Task<SandboxLock> waiting = _other.LockSandboxAsync(Samples.SandboxId, CancellationToken.None);

        _store.DeleteSandbox(owner);
        owner.Dispose();

        await Assert.ThrowsAsync<StateNotFoundException>(() => waiting.WaitAsync(StateTest.Patience));
    }

    [Fact]
    public async Task Wait_ForASandboxThatIsDeletedAndMadeAgain_GetsTheNewOne()
    {
        _store.AddSandbox();
        SandboxLock owner = _store.TryLockSandbox(Samples.SandboxId)!;
        Task<SandboxLock> waiting = _other.LockSandboxAsync(Samples.SandboxId, CancellationToken.None);
        _store.DeleteSandbox(owner);
        _store.AddSandbox();
        owner.Dispose();

        using SandboxLock fresh = await waiting.WaitAsync(StateTest.Patience);

        Assert.Equal(2, _other.CommitSandbox(fresh, _other.LoadSandbox(Samples.SandboxId)).Generation);
        Assert.Null(_store.TryLockSandbox(Samples.SandboxId));
    }

    [Fact]
    public async Task Locks_OfAProcessThatIsKilled_AreFree()
    {
        SandboxManifest manifest = _store.AddSandbox();
        using var child = ChildProcess.Start(["hold", _directory.Path]);
        await child.WaitForLineAsync("held");
        Assert.Null(_store.TryLockSandbox(manifest.Id));
        Assert.Null(_store.TryEnterExclusive());
        Task<SandboxLock> sandbox = _store.LockSandboxAsync(manifest.Id, CancellationToken.None);
        Task<StateLease> alone = _other.EnterExclusiveAsync(CancellationToken.None);

        child.Kill();

        (await sandbox.WaitAsync(StateTest.Patience)).Dispose();
        (await alone.WaitAsync(StateTest.Patience)).Dispose();
    }

    /// <summary>A process that is being spawned has copies of all descriptors until it executes its program.</summary>
    [Fact]
    public async Task Lock_GivenBackWhileProcessesAreSpawned_IsFreeAtOnce()
    {
        Task spawning = Task.Run(static () =>
        {
            for (int process = 0; process < 100; process++)
            {
                using var one = System.Diagnostics.Process.Start("true");
                Assert.True(one.WaitForExit(StateTest.Patience));
            }
        });
        while (!spawning.IsCompleted)
        {
            using StateLease? alone = _store.TryEnterExclusive();
            Assert.True(alone is not null, "a lock that was given back is still held");
        }

        await spawning.WaitAsync(StateTest.Patience);
    }

    [Fact]
    public async Task Commits_OfManyThreads_AreOneAfterTheOther()
    {
        SandboxManifest manifest = _store.AddSandbox();
        using SandboxLock owner = _store.TryLockSandbox(manifest.Id)!;
        int committed = 0;

        await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Task.Run(() =>
        {
            for (int done = 0; done < 5;)
            {
                try
                {
                    _store.CommitSandbox(owner, _store.LoadSandbox(manifest.Id));
                    Interlocked.Increment(ref committed);
                    done++;
                }
                catch (StateConflictException)
                {
                    // Another thread was first: read again, as it says.
                }
            }
        }))).WaitAsync(StateTest.Patience);

        Assert.Equal(committed + 1, _store.LoadSandbox(manifest.Id).Generation);
    }
}
