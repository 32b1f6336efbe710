using OpenSandbox.Qmp;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Lifecycle;

namespace OpenSandbox.Vmm;

/// <content>How the machine behind the sandbox is followed from its start to its end.</content>
public sealed partial class Sandbox
{
    private readonly TaskCompletionSource _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private TaskCompletionSource _transition = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private SandboxRun? _followed; // the last machine, also when it is gone
    private int _closing;

    /// <summary>Ends the sandbox at once, with everything in it, and waits until nothing of it is left.</summary>
    /// <returns>
    /// When the VM is gone and its disks are freed. Never fails; more calls wait for the same end. What has been saved of it (hibernation,
    /// checkpoints) stays where it is.
    /// </returns>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _closing, 1) == 0)
        {
            await CloseAsync().ConfigureAwait(false);
            _closed.TrySetResult();
        }

        await _closed.Task.ConfigureAwait(false);
    }

    /// <summary>What to tell a caller whose call broke off with the channel, once it is known why.</summary>
    internal async ValueTask<SandboxException> ExplainEndAsync(Exception failure)
    {
        while (Volatile.Read(ref _exit) is null)
        {
            Task change = Volatile.Read(ref _transition).Task;
            SandboxState state = State;
            SandboxRun? run = Volatile.Read(ref _run);
            if (state is not (SandboxState.Running or SandboxState.Stopping or SandboxState.Stopped))
            {
                return new SandboxStateException(Id, state, SandboxState.Running, failure);
            }

            if (run is not null && run.Channel.Failure is null)
            {
                // It runs, on another machine than the one that the call was made to: it was put away and woken meanwhile.
                return new SandboxStateException(Id, SandboxState.Hibernated, SandboxState.Running, failure);
            }

            try
            {
                await change.WaitAsync(Options.KillTimeout + Options.KillTimeout, Options.TimeProvider).ConfigureAwait(false);
            }
            catch (TimeoutException)
            {
                break;
            }
        }

        return new SandboxLostException(Id, await GetExitAsync(failure).ConfigureAwait(false), failure);
    }

    /// <summary>Why the sandbox ended, once that is known; bounded, so that no caller waits for an end that does not come.</summary>
    internal async ValueTask<SandboxExit> GetExitAsync(Exception failure)
    {
        if (Volatile.Read(ref _exit) is SandboxExit known)
        {
            return known;
        }

        try
        {
            return await Stopped.WaitAsync(Options.KillTimeout + Options.KillTimeout, Options.TimeProvider).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            SandboxRun? run = Volatile.Read(ref _run);
            return new SandboxExit(
                SandboxExitReason.GuestMisbehaved, failure.Message, run?.Machine.StandardErrorTail ?? "", run?.Machine.ConsoleTail ?? "");
        }
    }

    /// <summary>Makes a machine the sandbox's; from here on the sandbox follows it.</summary>
    internal void Begin(SandboxRun run, SandboxLimits? limits)
    {
        run.Resizer = new SandboxResizer(this, _host, run, limits);
        Volatile.Write(ref _crash, null);
        _followed = run;
        Volatile.Write(ref _run, run);
        Enter(SandboxState.Running);

        // Without disks there is nothing that could run full.
        Task network = new GuestNetworkService(Id, run.Channel, _gateway, HandleScaleRequestAsync, _host.Logger).RunAsync();
        Task watch = Task.WhenAll(network, WatchAgentAsync(run));
        run.Ended = FollowAsync(run, run.Disks.Rootfs is null ? watch : Task.WhenAll(watch, Task.Run(() => WatchDisksAsync(run))));
    }

    /// <summary>Goes to another state; those who wait for a change look again.</summary>
    private void Enter(SandboxState state, SandboxState? from = null)
    {
        from ??= (SandboxState)Interlocked.Exchange(ref _state, (int)state);
        Interlocked.Exchange(ref _transition, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).TrySetResult();
        ExpiryEntered(from.Value, state);
    }

    private async Task CloseAsync()
    {
        SandboxRun? run = await InterruptOperationAsync().ConfigureAwait(false);
        if (run is null)
        {
            await StopAsync(_expired ?? new SandboxExit(SandboxExitReason.Released, "its owner let go of it")).ConfigureAwait(false);
            return;
        }

        run.Release = IsDetached && !_deleting;
        run.RequestEnd(
            run.Release
                ? new SandboxExit(SandboxExitReason.Released, "its owner let go of it; it runs on")
                : _expired ?? new SandboxExit(SandboxExitReason.Destroyed, "its owner ended it"));
        await run.Ended.ConfigureAwait(false);
    }

    /// <summary>Follows a machine to its end, whoever ends it, and frees everything.</summary>
    private async Task FollowAsync(SandboxRun run, Task watch)
    {
        await Task.WhenAny(run.EndRequested, run.Machine.Exited, run.Channel.Completion, run.GivenUp).ConfigureAwait(false);
        bool asked = run.EndRequested.IsCompleted;
        SandboxExit? exit = asked ? await run.EndRequested.ConfigureAwait(false) : await FindOutWhyAsync(run).ConfigureAwait(false);
        SandboxExit? crash = !asked && IsDetached ? exit : null;
        if (crash is not null)
        {
            // Its disks are there, under names: it is not over.
            Volatile.Write(ref _crash, crash);
            exit = null;
            Enter(SandboxState.Crashed);
            Tell(SandboxEventKind.Crashed, new SandboxEventDetails { Exit = crash });
            VmmLog.SandboxCrashed(_host.Logger, Id, crash.Description);
        }

        if (exit is not null)
        {
            // The reason is known before the state says that there is one.
            Volatile.Write(ref _exit, exit);
            Enter(SandboxState.Stopping);
        }

        await run.Ending.CancelAsync().ConfigureAwait(false);
        if (exit is not null)
        {
            await _gateway.DisposeAsync().ConfigureAwait(false);
        }

        await (run.Release ? run.Machine.ReleaseAsync() : run.Machine.DisposeAsync().AsTask()).ConfigureAwait(false);
        await watch.ConfigureAwait(false);
        run.Disks.Dispose();
        run.Ending.Dispose();
        Interlocked.CompareExchange(ref _run, null, run);
        _host.Left();
        if (crash is not null)
        {
            RecordCrash();
        }

        if (exit is not null)
        {
            await StopAsync(exit).ConfigureAwait(false);
        }
    }

    /// <summary>The sandbox is over for this host.</summary>
    private async Task StopAsync(SandboxExit exit)
    {
        Interlocked.CompareExchange(ref _exit, exit, null);
        await _gateway.DisposeAsync().ConfigureAwait(false);
        Enter(SandboxState.Stopped);
        if (!_deleting)
        {
            Interlocked.Exchange(ref _lock, null)?.Dispose(); // who deletes it still needs the lock, and gives it back
        }

        _host.Forget(this);
        TellEnd(exit);
        _stopped.TrySetResult(exit);
        if (exit.Reason is SandboxExitReason.Destroyed or SandboxExitReason.Released or SandboxExitReason.Expired)
        {
            VmmLog.SandboxEnded(_host.Logger, Id, exit.Description);
        }
        else
        {
            VmmLog.SandboxLost(_host.Logger, Id, exit.Description);
        }
    }

    private static async Task<SandboxExit> FindOutWhyAsync(SandboxRun run) =>
        run.GivenUp.IsCompleted ? await run.GivenUp.ConfigureAwait(false) : await run.Machine.TryDescribeExitAsync().ConfigureAwait(false) ?? new SandboxExit(
            SandboxExitReason.GuestMisbehaved,
            run.Channel.Failure?.Message ?? "its channel was closed",
            run.Machine.StandardErrorTail,
            run.Machine.ConsoleTail);

    /// <summary>
    /// Continues a guest that QEMU stopped because the host's disk is full. Nothing is lost: the write that failed is made again. There is
    /// no event for space that has become free, so it is tried again after a while; a write that fails again is the next event.
    /// </summary>
    private async Task WatchDisksAsync(SandboxRun run)
    {
        CancellationToken ending = run.Ending.Token;
        try
        {
            // The monitor is connected when the first command has had the CPUs for itself. What happened until then is in the status.
            await Task.Delay(s_watchDelay, Options.TimeProvider, ending).ConfigureAwait(false);
            QmpClient qmp = await run.Machine.GetQmpAsync().WaitAsync(ending).ConfigureAwait(false);
            using QmpEventSubscription errors = qmp.Subscribe("BLOCK_IO_ERROR");
            bool full = (await qmp.QueryStatusAsync(ending).ConfigureAwait(false)).Status == "io-error";
            while (true)
            {
                if (full)
                {
                    VmmLog.HostDiskFull(_host.Logger, Id);
                    await Task.Delay(s_spaceRetry, Options.TimeProvider, ending).ConfigureAwait(false);
                    await run.Monitor.WaitAsync(ending).ConfigureAwait(false);
                    try
                    {
                        await qmp.ContinueAsync(ending).ConfigureAwait(false);
                    }
                    finally
                    {
                        run.Monitor.Release();
                    }
                }

                full = SaysNoSpace(await errors.ReadAsync(ending).ConfigureAwait(false));
            }
        }
        catch (Exception ended) when (ended is OperationCanceledException or QmpException or ObjectDisposedException)
        {
            // The VM has ended, or its monitor has: who follows its life finds out why.
            VmmLog.MonitorFailed(_host.Logger, Id, ended);
        }
    }

    private static bool SaysNoSpace(QmpEvent error) =>
        error.Data.ValueKind == System.Text.Json.JsonValueKind.Object
        && error.Data.TryGetProperty("nospace", out System.Text.Json.JsonElement full)
        && full.ValueKind == System.Text.Json.JsonValueKind.True;
}
