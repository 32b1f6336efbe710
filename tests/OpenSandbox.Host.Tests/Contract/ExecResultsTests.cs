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
        results.Add(Sandbox, new ExecHandle("00000001", _clock.GetUtcNow(), new TaskCompletionSource<ExecResult>().Task));
        Assert.True(results.TryGet(Sandbox, "00000001", out _));
        Assert.False(results.TryGet("sb-00000002", "00000001", out _));
    }

    [Fact]
    public async Task TryGet_TenMinutesAfterTheEnd_IsForgotten()
    {
        var results = new ExecResults(_clock);
        var command = new TaskCompletionSource<ExecResult>();
        results.Add(Sandbox, new ExecHandle("00000001", _clock.GetUtcNow(), command.Task));
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
    public async Task HasRoom_ManyHaveEnded_CountsOnlyThoseThatRun()
    {
        var results = new ExecResults(_clock);
        for (int i = 0; i < 2 * ExecResults.MaxEnded; i++)
        {
            results.Add(Sandbox, new ExecHandle($"{i:x8}", _clock.GetUtcNow(), Task.FromException<ExecResult>(new IOException("over"))));
        }

        await EndedAsync(results);
        Assert.True(results.HasRoom);
        Assert.False(results.TryGet(Sandbox, "00000000", out _)); // the oldest
        Assert.True(results.TryGet(Sandbox, $"{2 * ExecResults.MaxEnded - 1:x8}", out _));
        for (int i = 0; i < ExecResults.MaxRunning; i++)
        {
            Assert.True(results.HasRoom);
            results.Add(Sandbox, new ExecHandle($"r{i:x7}", _clock.GetUtcNow(), new TaskCompletionSource<ExecResult>().Task));
        }

        Assert.False(results.HasRoom);
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
