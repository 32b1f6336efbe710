using OpenSandbox.Host.Api;

namespace OpenSandbox.Host.Tests.Contract;

public sealed class ExecResultsTests
{
    private const string Sandbox = "sb-00000001";
    private readonly ManualClock _clock = new();

    [Fact]
    public void TryGet_OtherSandbox_IsNotFound()
    {
        var results = new ExecResults(_clock);
        Add(results, new ExecHandle("00000001", _clock.GetUtcNow(), new TaskCompletionSource<ExecResult>().Task));
        Assert.True(results.TryGet(Sandbox, "00000001", out _));
        Assert.False(results.TryGet("sb-00000002", "00000001", out _));
    }

    [Fact]
    public async Task TryGet_TenMinutesAfterTheEnd_IsForgotten()
    {
        var results = new ExecResults(_clock);
        var command = new TaskCompletionSource<ExecResult>();
        Add(results, new ExecHandle("00000001", _clock.GetUtcNow(), command.Task));
        _clock.Advance(TimeSpan.FromHours(1));
        Assert.True(results.TryGet(Sandbox, "00000001", out _)); // it runs
        command.SetException(new IOException("over"));
        await EndedAsync(results);
        _clock.Advance(TimeSpan.FromMinutes(10));
        Assert.True(results.TryGet(Sandbox, "00000001", out _));
        _clock.Advance(TimeSpan.FromSeconds(1));
        Assert.False(results.TryGet(Sandbox, "00000001", out _));
    }

    [Fact]
    public async Task TryReserve_ManyHaveEnded_CountsOnlyThoseThatRun()
    {
        var results = new ExecResults(_clock);
        for (int i = 0; i < 2 * ExecResults.MaxEnded; i++)
        {
            Add(results, new ExecHandle($"{i:x8}", _clock.GetUtcNow(), Task.FromException<ExecResult>(new IOException("over"))));
        }

        await EndedAsync(results);
        Assert.False(results.TryGet(Sandbox, "00000000", out _)); // the oldest
        Assert.True(results.TryGet(Sandbox, $"{2 * ExecResults.MaxEnded - 1:x8}", out _));
        for (int i = 0; i < ExecResults.MaxRunning; i++)
        {
            Add(results, new ExecHandle($"r{i:x7}", _clock.GetUtcNow(), new TaskCompletionSource<ExecResult>().Task));
        }

        Assert.False(results.TryReserve());
    }

    [Fact]
    public void TryReserve_ManyAtOnce_GivesAsManyPlacesAsThereAre()
    {
        var results = new ExecResults(_clock);
        int taken = 0;
        Parallel.For(0, 2 * ExecResults.MaxRunning, _ =>
        {
            if (results.TryReserve())
            {
                Interlocked.Increment(ref taken);
            }
        });
        Assert.Equal(ExecResults.MaxRunning, taken);
        results.Release();
        Assert.True(results.TryReserve());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Remove_ItsResultIsHandedOver_TakesNoPlaceAmongTheKept(bool afterItsEndIsNoted)
    {
        var results = new ExecResults(_clock);
        Add(results, new ExecHandle("kept", _clock.GetUtcNow(), Task.FromException<ExecResult>(new IOException("over"))));
        await EndedAsync(results);
        for (int i = 0; i < 2 * ExecResults.MaxEnded; i++)
        {
            var command = new TaskCompletionSource<ExecResult>();
            Add(results, new ExecHandle($"{i:x8}", _clock.GetUtcNow(), command.Task));
            if (afterItsEndIsNoted)
            {
                command.SetException(new IOException("over"));
                await EndedAsync(results);
            }

            results.Remove(Sandbox, $"{i:x8}");
            command.TrySetException(new IOException("over"));
            await EndedAsync(results);
        }

        Assert.True(results.TryGet(Sandbox, "kept", out _));
        Assert.False(results.TryGet(Sandbox, "00000000", out _));
    }

    private static void Add(ExecResults results, ExecHandle handle)
    {
        Assert.True(results.TryReserve());
        results.Add(Sandbox, handle);
    }

    /// <summary>What ends is noted on another thread.</summary>
    private static async Task EndedAsync(ExecResults results)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (results.Running > 0)
        {
            deadline.Token.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }
}
