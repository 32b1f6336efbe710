using OpenSandbox.Qmp;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Lifecycle;

namespace OpenSandbox.Vmm;

/// <content>Whether the guest still answers.</content>
public sealed partial class Sandbox
{
    private int _missed;

    /// <summary>
    /// Whether its agent has answered the last sign of life that was asked for (<see cref="SandboxHostOptions.HeartbeatInterval"/>). One that
    /// does not for <see cref="SandboxHostOptions.UnresponsiveTimeout"/> is ended.
    /// </summary>
    public bool IsResponding => Volatile.Read(ref _missed) == 0;

    /// <summary>
    /// Asks the agent for a sign of life again and again, and gives the machine up when there is none for too long. While somebody has the
    /// machine stopped, or the agent standing still, that says nothing.
    /// </summary>
    private async Task WatchAgentAsync(SandboxRun run)
    {
        TimeSpan interval = Options.HeartbeatInterval;
        Volatile.Write(ref _missed, 0);
        if (interval == Timeout.InfiniteTimeSpan)
        {
            return;
        }

        CancellationToken ending = run.Ending.Token;
        int allowed = (int)Math.Ceiling(Options.UnresponsiveTimeout / interval);
        try
        {
            using var timer = new PeriodicTimer(interval, Options.TimeProvider);
            while (await timer.WaitForNextTickAsync(ending).ConfigureAwait(false))
            {
                if (State != SandboxState.Running || run.Monitor.CurrentCount == 0 || await AnswersAsync(run, interval, ending).ConfigureAwait(false))
                {
                    Volatile.Write(ref _missed, 0);
                    continue;
                }

                int missed = Interlocked.Increment(ref _missed);
                if (missed == 1)
                {
                    VmmLog.AgentSilent(_host.Logger, Id, (long)interval.TotalMilliseconds);
                }

                if (missed < allowed)
                {
                    continue;
                }

                if (await IsStoppedAsync(run, interval, ending).ConfigureAwait(false))
                {
                    Volatile.Write(ref _missed, 0);
                    continue;
                }

                run.GiveUp(new SandboxExit(
                    SandboxExitReason.GuestMisbehaved,
                    $"its agent has not answered for {(interval * missed).TotalSeconds:0.#} s, and was ended",
                    run.Machine.StandardErrorTail,
                    run.Machine.ConsoleTail));
                return;
            }
        }
        catch (Exception ended) when (ended is OperationCanceledException or GuestChannelException or ObjectDisposedException)
        {
            // The run has ended: who follows it finds out why.
            VmmLog.BackgroundEnded(_host.Logger, ended.Message);
        }
    }

    private async Task<bool> AnswersAsync(SandboxRun run, TimeSpan within, CancellationToken ending)
    {
        using CancellationTokenSource deadline = Deadlines.Start(within, Options.TimeProvider, ending);
        try
        {
            await run.Channel.PingAsync(ReadOnlyMemory<byte>.Empty, deadline.Token).ConfigureAwait(false);
            return true;
        }
        catch (OperationCanceledException) when (!ending.IsCancellationRequested)
        {
            return false;
        }
    }

    /// <summary>Whether QEMU says that the guest does not run, because the host's disk is full, for instance.</summary>
    private async Task<bool> IsStoppedAsync(SandboxRun run, TimeSpan within, CancellationToken ending)
    {
        using CancellationTokenSource deadline = Deadlines.Start(within, Options.TimeProvider, ending);
        try
        {
            QmpClient qmp = await run.Machine.GetQmpAsync().WaitAsync(deadline.Token).ConfigureAwait(false);
            return (await qmp.QueryStatusAsync(deadline.Token).ConfigureAwait(false)).Status != "running";
        }
        catch (Exception silent) when (silent is OperationCanceledException or QmpException && !ending.IsCancellationRequested)
        {
            return false; // QEMU does not answer either
        }
    }
}
