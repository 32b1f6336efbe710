using OpenSandbox.Qmp;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Qemu;

namespace OpenSandbox.Vmm.Lifecycle;

/// <summary>
/// A guest that stands still so that it can be saved: quiesced by its agent (processes frozen, file systems frozen and synced), then
/// stopped by QEMU. Whatever happens in between, <see cref="ReleaseAsync"/> lets it run on.
/// </summary>
/// <remarks>One at a time for a machine; not thread-safe.</remarks>
internal sealed class GuestStandstill
{
    /// <summary>After this much of its own time the guest goes on by itself.</summary>
    private static readonly TimeSpan s_watchdog = TimeSpan.FromSeconds(20);

    /// <summary>What is left of that time when the machine has been stopped must be at least this: clocks and messages take their time.</summary>
    private static readonly TimeSpan s_margin = TimeSpan.FromSeconds(2);

    private readonly SandboxHost _host;
    private readonly string _id;
    private readonly SandboxRun _run;
    private QmpClient? _qmp;
    private long _quiescedAt;
    private bool _mayBeQuiesced;
    private bool _mayBeStopped;

    private GuestStandstill(SandboxHost host, string id, SandboxRun run)
    {
        _host = host;
        _id = id;
        _run = run;
    }

    /// <summary>
    /// When QEMU was told to stop it, a timestamp of the host's time provider: the guest's CPUs stop before QEMU has written to the disks what
    /// it must before it answers.
    /// </summary>
    internal long StoppedAt { get; private set; }

    /// <summary>For how long its processes stood still: from the question to quiesce until the guest had gone on. Zero before that.</summary>
    internal TimeSpan StoodStill { get; private set; }

    /// <summary>Asks the agent to quiesce.</summary>
    /// <exception cref="SandboxOperationException">The guest refused; it runs on.</exception>
    /// <exception cref="SandboxTimeoutException">It did not answer; it runs on, or will by itself.</exception>
    /// <exception cref="GuestChannelException">The guest is gone.</exception>
    internal static async Task<GuestStandstill> QuiesceAsync(SandboxHost host, string id, SandboxRun run, CancellationToken cancellationToken)
    {
        var standstill = new GuestStandstill(host, id, run);
        await run.Monitor.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            await standstill.QuiesceAsync(cancellationToken).ConfigureAwait(false);
            return standstill;
        }
        catch
        {
            await standstill.ReleaseAsync(failed: true).ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Stops the machine. From here until the release everything about it stays as it is.</summary>
    /// <exception cref="QmpException">QEMU refused or is gone.</exception>
    /// <exception cref="SandboxTimeoutException">It took so long that the guest may have gone on by itself.</exception>
    internal async Task StopAsync(CancellationToken cancellationToken)
    {
        _qmp = await _run.Machine.GetQmpAsync().WaitAsync(cancellationToken).ConfigureAwait(false);
        _mayBeStopped = true;
        StoppedAt = _host.Options.TimeProvider.GetTimestamp();
        await _qmp.StopAsync(cancellationToken).ConfigureAwait(false);
        if (_host.Options.TimeProvider.GetElapsedTime(_quiescedAt) > s_watchdog - s_margin)
        {
            throw new SandboxTimeoutException(_id, "stopping the quiesced guest", s_watchdog - s_margin, null);
        }
    }

    /// <summary>Lets the machine run, but not yet its processes.</summary>
    /// <returns>How long it was stopped.</returns>
    /// <exception cref="QmpException">QEMU refused or is gone.</exception>
    internal async Task<TimeSpan> ContinueAsync()
    {
        await _qmp!.ContinueAsync(CancellationToken.None).ConfigureAwait(false);
        TimeSpan stopped = _host.Options.TimeProvider.GetElapsedTime(StoppedAt);
        _mayBeStopped = false;
        return stopped;
    }

    /// <summary>The machine's state has been saved and the machine is going to be ended: it never runs again.</summary>
    internal void Abandon()
    {
        _mayBeStopped = false;
        _mayBeQuiesced = false;
        _run.Monitor.Release();
    }

    /// <summary>Lets the guest go on, from wherever it stands.</summary>
    /// <param name="failed">Something failed before: a further failure is for the log.</param>
    /// <exception cref="SandboxOperationException">The guest could not go on, or went on before it was saved.</exception>
    internal async Task ReleaseAsync(bool failed)
    {
        try
        {
            if (_mayBeStopped)
            {
                await ContinueAsync().ConfigureAwait(false);
            }

            if (_mayBeQuiesced)
            {
                await ThawAsync().ConfigureAwait(false);
            }
        }
        catch (Exception failure) when (failed && failure is SandboxException or QmpException or GuestChannelException or InvalidOperationException)
        {
            VmmLog.ReleaseFailed(_host.Logger, _id, failure);
        }
        finally
        {
            _run.Monitor.Release();
        }
    }

    private async Task QuiesceAsync(CancellationToken cancellationToken)
    {
        SandboxHostOptions options = _host.Options;
        using CancellationTokenSource deadline = Deadlines.Start(options.RequestTimeout, options.TimeProvider, cancellationToken);
        _quiescedAt = options.TimeProvider.GetTimestamp();
        _mayBeQuiesced = true;
        try
        {
            QuiesceReply reply = await _run.Channel
                .QuiesceAsync(new QuiesceRequest { Snapshot = true, WatchdogMilliseconds = (int)s_watchdog.TotalMilliseconds }, deadline.Token)
                .ConfigureAwait(false);
            if (!reply.Ok)
            {
                _mayBeQuiesced = false;
                throw new SandboxOperationException(
                    SandboxErrorCode.OperationFailed, _id, 0, $"sandbox {_id}: its guest cannot be saved now: {reply.Reason}; it runs on");
            }
        }
        catch (OperationCanceledException late)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw new SandboxTimeoutException(_id, "quiescing the guest", options.RequestTimeout, late);
        }
    }

    private async Task ThawAsync()
    {
        SandboxHostOptions options = _host.Options;
        using var deadline = new CancellationTokenSource(options.RequestTimeout, options.TimeProvider);
        _mayBeQuiesced = false;
        try
        {
            ThawedReply reply = await _run.Channel
                .ThawAsync(
                    new ThawRequest { WallClockNanoseconds = _host.WallClockNanoseconds(), EntropySeed = SandboxHost.NewSeed() }, deadline.Token)
                .ConfigureAwait(false);
            StoodStill = options.TimeProvider.GetElapsedTime(_quiescedAt);
            if (!reply.Ok || reply.WatchdogFired)
            {
                string reason = reply.Ok ? "it went on by itself before it was told to" : reply.Reason ?? "it does not say why";
                throw new SandboxOperationException(
                    SandboxErrorCode.OperationFailed, _id, 0, $"sandbox {_id}: letting its guest go on: {reason}");
            }
        }
        catch (OperationCanceledException late)
        {
            throw new SandboxTimeoutException(_id, "letting the guest go on", options.RequestTimeout, late);
        }
    }
}
