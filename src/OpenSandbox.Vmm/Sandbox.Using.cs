using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Expiry;

namespace OpenSandbox.Vmm;

/// <content>Calls that use the sandbox: how many there are, when the last one was, and waking it for them.</content>
public sealed partial class Sandbox
{
    /// <summary>What <see cref="_uses"/> is far below while nobody may begin to use the sandbox, because its time is up.</summary>
    private const int Closed = int.MinValue;

    private int _uses; // calls that use it; negative while it is closed
    private long _lastUse; // when one began or ended, or bytes moved through a handle
    private TaskCompletionSource? _opened; // completes when what _uses was closed for is over

    /// <summary>Whether a call that finds the sandbox in this state waits for it, or wakes it.</summary>
    private bool WakesFrom(SandboxState state) =>
        (state is SandboxState.Hibernated or SandboxState.Hibernating or SandboxState.Waking) && Volatile.Read(ref _terms).Policy.AutoWake;

    /// <summary>
    /// Begins to use the sandbox, and wakes it first if it is hibernated and its owner wants that. Until the result is disposed of it is not
    /// idle. Neither locks nor allocates where it runs.
    /// </summary>
    /// <param name="cancellationToken">Stops waiting for the sandbox; a wake goes on.</param>
    /// <param name="wake">Whether it may be woken for that.</param>
    /// <exception cref="SandboxStateException">It does not run, and does not wake by itself.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    /// <exception cref="SandboxException">It could not be woken: as for <see cref="WakeAsync"/>.</exception>
    internal ValueTask<SandboxUse> UseAsync(CancellationToken cancellationToken, bool wake = true)
    {
        // No local function: what one captures would be allocated on either path.
        return TryUse() ? new ValueTask<SandboxUse>(new SandboxUse(this)) : WaitAndUseAsync(wake, cancellationToken);
    }

    /// <summary>
    /// Begins to use the sandbox, as <see cref="UseAsync"/> does, and opens a stream on the bulk port; the caller ends the use with
    /// <see cref="LeaveUse"/>, unless this throws. In one call, because each awaiter that a command's state machine has is allocated with it
    /// (benchmark row P16).
    /// </summary>
    private ValueTask<GuestStream> UseAndOpenAsync(OpenRequest request, CancellationToken cancellationToken)
    {
        if (!TryUse())
        {
            return WaitAndOpenAsync(request, cancellationToken);
        }

        ValueTask<GuestStream> opening;
        try
        {
            opening = OpenStreamAsync(request);
        }
        catch
        {
            LeaveUse();
            throw;
        }

        if (!opening.IsCompletedSuccessfully)
        {
            LeaveUse(); // it explains why the sandbox has ended
        }

        return opening;
    }

    private async ValueTask<GuestStream> WaitAndOpenAsync(OpenRequest request, CancellationToken cancellationToken)
    {
        SandboxUse use = await WaitAndUseAsync(wake: true, cancellationToken).ConfigureAwait(false);
        try
        {
            return await OpenStreamAsync(request).ConfigureAwait(false);
        }
        catch
        {
            use.Dispose();
            throw;
        }
    }

    private async ValueTask<SandboxUse> WaitAndUseAsync(bool wake, CancellationToken cancellationToken)
    {
        do
        {
            await WaitUntilUsableAsync(wake, cancellationToken).ConfigureAwait(false);
        }
        while (!TryUse());

        return new SandboxUse(this);
    }

    /// <summary>Begins to use the sandbox, which has just been made and has never been idle.</summary>
    internal SandboxUse UseNow()
    {
        Interlocked.Increment(ref _uses);
        Touch();
        return new SandboxUse(this);
    }

    /// <summary>A call that used the sandbox has ended.</summary>
    internal void LeaveUse()
    {
        // First the time: who finds no use any more finds when the last one was.
        Touch();
        Interlocked.Decrement(ref _uses);
    }

    /// <summary>The sandbox is being used: it is idle from now on at the earliest.</summary>
    internal void Touch() => Volatile.Write(ref _lastUse, Options.TimeProvider.GetTimestamp());

    private bool TryUse()
    {
        // Counted first and looked afterwards; who closes the sandbox does so only while the count is 0, in one step.
        if (Interlocked.Increment(ref _uses) > 0 && State == SandboxState.Running)
        {
            Touch();
            return true;
        }

        Interlocked.Decrement(ref _uses);
        return false;
    }

    private async Task WaitUntilUsableAsync(bool wake, CancellationToken cancellationToken)
    {
        Task change = Volatile.Read(ref _transition).Task;
        Task? opened = Volatile.Read(ref _opened)?.Task;
        SandboxState state = State;
        if (state == SandboxState.Running)
        {
            // Its time is up, and it is about to be hibernated or ended for that.
            await (opened ?? Task.CompletedTask).WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        else if (!wake || !WakesFrom(state))
        {
            throw NotRunning();
        }
        else if (state == SandboxState.Hibernated)
        {
            await WakeForUseAsync(cancellationToken).ConfigureAwait(false);
        }
        else
        {
            await change.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Wakes the sandbox once for all who want to use it, after what else is under way.</summary>
    private async Task WakeForUseAsync(CancellationToken cancellationToken)
    {
        Task<SandboxWake>? waking = null;
        Task? underWay = null;
        lock (_operationGate)
        {
            if (_waking is null && _operation is (_, Task other))
            {
                underWay = other; // the end of its hibernation, as a rule
            }
            else if (State == SandboxState.Hibernated || _waking is not null)
            {
                waking = _waking ??= WakeSharedAsync(WakeOptions.Default, byUse: true);
            }
        }

        try
        {
            await (underWay ?? waking ?? Task.CompletedTask).WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (SandboxConflictException)
        {
            // Another operation was quicker: it is waited for the next time round.
            return;
        }
    }

    /// <summary>Lets nobody begin to use the sandbox, if nobody does.</summary>
    /// <param name="whateverIsUnderWay">Also if somebody does: those calls are going to be cut.</param>
    private bool TryClose(bool whateverIsUnderWay)
    {
        var opened = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Volatile.Write(ref _opened, opened);
        if (whateverIsUnderWay)
        {
            Interlocked.Add(ref _uses, Closed);
            return true;
        }

        if (Interlocked.CompareExchange(ref _uses, Closed, 0) == 0)
        {
            return true;
        }

        Interlocked.Exchange(ref _opened, null)?.TrySetResult();
        return false;
    }

    /// <summary>Those who wait to use the sandbox look again.</summary>
    private void Open()
    {
        TaskCompletionSource? opened = Interlocked.Exchange(ref _opened, null);
        Interlocked.Add(ref _uses, Closed); // which takes it away: twice the lowest number is 0
        opened?.TrySetResult();
    }
}
