using OpenSandbox.Vmm.Lifecycle;
using OpenSandbox.Vmm.Snapshots;

namespace OpenSandbox.Vmm;

/// <content>Pausing the sandbox in memory.</content>
public sealed partial class Sandbox
{
    private GuestStandstill? _pause;

    /// <summary>
    /// Makes the sandbox stand still in memory: it takes no CPU, and is back in milliseconds with <see cref="ResumeAsync"/>. Nothing of it is
    /// durable meanwhile; <see cref="HibernateAsync"/> is for that.
    /// </summary>
    /// <param name="options">Default: see <see cref="PauseOptions"/>.</param>
    /// <param name="cancellationToken">The sandbox runs on.</param>
    /// <returns>What came of it.</returns>
    /// <exception cref="SandboxOperationException">The guest or QEMU refused; the sandbox runs on.</exception>
    /// <exception cref="SandboxTimeoutException">The guest or QEMU did not answer; the sandbox runs on.</exception>
    /// <exception cref="SandboxConflictException">Another operation on it is under way.</exception>
    /// <exception cref="SandboxStateException">It does not run.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public Task<SandboxPause> PauseAsync(PauseOptions? options = null, CancellationToken cancellationToken = default) =>
        OperateAsync("pausing", token => PauseNowAsync(options ?? PauseOptions.Default, token), cancellationToken);

    /// <summary>Lets a paused sandbox go on, with the right clock.</summary>
    /// <param name="cancellationToken">Before it begins.</param>
    /// <returns>When it runs. One that runs is left as it is.</returns>
    /// <exception cref="SandboxOperationException">The guest or QEMU refused.</exception>
    /// <exception cref="SandboxConflictException">Another operation on it is under way.</exception>
    /// <exception cref="SandboxStateException">It is neither paused nor running.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public Task ResumeAsync(CancellationToken cancellationToken = default) =>
        OperateAsync("resuming", _ => ResumeNowAsync(), cancellationToken);

    private async Task<SandboxPause> PauseNowAsync(PauseOptions options, CancellationToken cancellationToken)
    {
        EnsureRunning();
        SandboxRun run = Run;
        try
        {
            GuestStandstill standstill = await GuestStandstill.QuiesceAsync(_host, Id, run, cancellationToken).ConfigureAwait(false);
            try
            {
                await standstill.StopAsync(cancellationToken).ConfigureAwait(false);
            }
            catch
            {
                await standstill.ReleaseAsync(failed: true).ConfigureAwait(false);
                throw;
            }

            _pause = standstill;
            EnterFrom(SandboxState.Running, SandboxState.Paused);
            TellAtEnd(SandboxEventKind.Paused);
            return new SandboxPause(options.PageOut ? await PageOutAsync(run).ConfigureAwait(false) : 0);
        }
        catch (Exception failure) when (failure is not (SandboxException or OperationCanceledException))
        {
            throw await ExplainAsync(failure, "pausing").ConfigureAwait(false);
        }
    }

    private async Task<bool> ResumeNowAsync()
    {
        if (State == SandboxState.Running)
        {
            return false;
        }

        if (State != SandboxState.Paused || _pause is not GuestStandstill standstill)
        {
            throw Volatile.Read(ref _exit) is SandboxExit exit
                ? new SandboxLostException(Id, exit)
                : new SandboxStateException(Id, State, SandboxState.Paused);
        }

        try
        {
            _pause = null;
            await standstill.ReleaseAsync(failed: false).ConfigureAwait(false);
            EnterFrom(SandboxState.Paused, SandboxState.Running);
            TellAtEnd(SandboxEventKind.Resumed);
            return true;
        }
        catch (Exception failure) when (failure is not (SandboxException or OperationCanceledException))
        {
            throw await ExplainAsync(failure, "resuming").ConfigureAwait(false);
        }
    }

    /// <summary>Goes from one state to another, unless the sandbox has ended meanwhile, which is followed elsewhere.</summary>
    private void EnterFrom(SandboxState from, SandboxState to)
    {
        if (Interlocked.CompareExchange(ref _state, (int)to, (int)from) == (int)from)
        {
            Enter(to, from);
        }
    }

    private static async Task<long> PageOutAsync(SandboxRun run)
    {
        int pid = await run.Machine.GetQemuPidAsync(CancellationToken.None).ConfigureAwait(false);
        return await Task.Run(() => RamMapping.Find(pid, (long)run.Golden.Shape.BaseMemoryMib << 20).PageOut()).ConfigureAwait(false);
    }
}
