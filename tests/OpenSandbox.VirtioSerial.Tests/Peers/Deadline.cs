namespace OpenSandbox.VirtioSerial.Tests;

/// <summary>Deadlines on every wait, so that a hang fails the test instead of hanging it.</summary>
internal static class Deadline
{
    internal static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    internal static Task<T> Within<T>(this Task<T> task) => task.WaitAsync(Limit);

    internal static Task Within(this Task task) => task.WaitAsync(Limit);

    internal static Task<T> Within<T>(this ValueTask<T> task) => task.AsTask().WaitAsync(Limit);

    internal static Task Within(this ValueTask task) => task.AsTask().WaitAsync(Limit);

    /// <summary>Pings until the condition holds: the agent answers in order, so each round trip is a step of its work, not a sleep.</summary>
    internal static async Task UntilAsync(this GuestChannel channel, Func<bool> condition, string what)
    {
        using var limit = new CancellationTokenSource(Limit);
        while (!condition())
        {
            Assert.False(limit.IsCancellationRequested, $"Not within {Limit}: {what}");
            await channel.PingAsync(default, limit.Token);
        }
    }

    /// <summary>A ping that the peer's test code answers itself.</summary>
    internal static async Task PingedByAsync(this GuestChannel channel, AgentPeer peer)
    {
        Task<TimeSpan> ping = channel.PingAsync(default).AsTask();
        Assert.Equal(FrameType.Ping, (await peer.ReceiveAsync(GuestPort.Control)).Type);
        await peer.SendAsync(GuestPort.Control, FrameType.Pong, 0, default);
        await ping.Within();
    }
}
