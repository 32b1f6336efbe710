namespace OpenSandbox.Vmm;

/// <summary>
/// A shell that was killed and replaced: what it had started before the run that was killed goes on until the session ends. Its output is
/// read and dropped, as what is not read would stay in the guest's memory and in the port's window.
/// </summary>
internal sealed class ShellRemains : IAsyncDisposable
{
    private readonly Sandbox _sandbox;
    private readonly SandboxProcess _process;
    private readonly CancellationTokenSource _ending = new();
    private readonly Task<bool> _draining;

    /// <param name="sandbox">Its sandbox.</param>
    /// <param name="process">The shell, killed; owned from here on.</param>
    internal ShellRemains(Sandbox sandbox, SandboxProcess process)
    {
        _sandbox = sandbox;
        _process = process;
        _draining = DrainAsync();
    }

    /// <summary>Whether it is known that nothing of it is left.</summary>
    internal bool IsNothing => _draining is { IsCompletedSuccessfully: true, Result: false };

    /// <summary>Kills what is left.</summary>
    public async ValueTask DisposeAsync()
    {
        await _ending.CancelAsync().ConfigureAwait(false);
        bool left = await _draining.ConfigureAwait(false);
        await _process.DisposeAsync().ConfigureAwait(false);
        _ending.Dispose();
        if (!left)
        {
            return;
        }

        try
        {
            await _sandbox.Processes.KillAsync(_process.Id).ConfigureAwait(false);
        }
        catch (Exception gone) when (gone is SandboxLostException or SandboxStateException or SandboxTimeoutException or SandboxOperationException)
        {
            // Nothing is left in a sandbox that is gone, and the guest that does not know the process any more has nothing to kill.
            return;
        }
    }

    /// <summary>Drains the killed shell's output, for a limited time: what it left running is given seconds by the guest to let go.</summary>
    private async Task<bool> DrainAsync()
    {
        using CancellationTokenSource deadline =
            Deadlines.Start(_sandbox.Options.RequestTimeout, _sandbox.Options.TimeProvider, _ending.Token);
        try
        {
            return await _process.DrainAndLetGoAsync(deadline.Token).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is OperationCanceledException or SandboxException or ObjectDisposedException)
        {
            // The session has ended, the sandbox is gone, or the guest is late: then the handle goes, and what is left is killed, at the end.
            return true;
        }
    }
}
