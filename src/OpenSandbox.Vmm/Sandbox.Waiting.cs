namespace OpenSandbox.Vmm;

/// <content>Waiting for what becomes of the sandbox.</content>
public sealed partial class Sandbox
{
    /// <summary>Why its VM is gone, while it is <see cref="SandboxState.Crashed"/>; <see langword="null"/> otherwise.</summary>
    public SandboxExit? CrashReason => State == SandboxState.Crashed ? Volatile.Read(ref _crash) : null;

    /// <summary>Waits until the sandbox is in another state than the one that the caller knows.</summary>
    /// <param name="known">That state.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>
    /// A state that it was in after the call began; it may be in yet another by now, and states that it only passed through may have been missed.
    /// </returns>
    public async Task<SandboxState> WaitForChangeAsync(SandboxState known, CancellationToken cancellationToken = default)
    {
        while (true)
        {
            // In this order: a change after the state was read completes the task that was taken before.
            Task change = Volatile.Read(ref _transition).Task;
            SandboxState now = State;
            if (now != known)
            {
                return now;
            }

            await change.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }
}
