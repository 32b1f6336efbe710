using System.Net.Sockets;
using OpenSandbox.Cli.Control;

namespace OpenSandbox.Cli.Tests;

/// <summary>What a loop that accepts does when it cannot.</summary>
public sealed class AcceptPauseTests
{
    private readonly RecordingClock _clock = new();
    private readonly List<string> _said = [];

    [Fact]
    public async Task Failures_OneAfterTheOther_WaitLongerAndAreToldOnce()
    {
        var pause = new AcceptPause(_clock, _said.Add);
        for (int i = 0; i < 20; i++)
        {
            await pause.AfterAsync(new SocketException((int)SocketError.TooManyOpenSockets), CancellationToken.None);
        }

        Assert.Single(_said);
        Assert.Equal(20, _clock.Waits.Count);
        Assert.Equal(AcceptPause.Shortest, _clock.Waits[0]);
        Assert.Equal(AcceptPause.Longest, _clock.Waits[^1]);
        Assert.Equal(_clock.Waits.Order(), _clock.Waits);

        await pause.AfterAsync(new SocketException((int)SocketError.ConnectionAborted), CancellationToken.None);
        Assert.Equal(2, _said.Count);
        pause.Reset();
        await pause.AfterAsync(new SocketException((int)SocketError.ConnectionAborted), CancellationToken.None);
        Assert.Equal(3, _said.Count);
        Assert.Equal(AcceptPause.Shortest, _clock.Waits[^1]);
    }

    [Fact]
    public async Task Pause_TheLoopIsToEnd_EndsAtOnce()
    {
        using var ending = new CancellationTokenSource();
        await ending.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => new AcceptPause(_clock, _said.Add).AfterAsync(new SocketException((int)SocketError.TooManyOpenSockets), ending.Token));
    }

    /// <summary>A clock on which all waits are over at once, and which knows how long they would have been.</summary>
    private sealed class RecordingClock : TimeProvider
    {
        internal List<TimeSpan> Waits { get; } = [];

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            Waits.Add(dueTime);
            return System.CreateTimer(callback, state, TimeSpan.Zero, period);
        }
    }
}
