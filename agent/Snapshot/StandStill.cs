using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// Brings the whole guest to a stand for a snapshot, and sets it going again: loops, user processes, file systems, in this order, because a
/// process that waits for a frozen file system cannot be frozen any more. If nobody sets it going, a watchdog does. Thread-safe.
/// </summary>
/// <remarks>
/// While the guest stands still nothing of the agent runs but the control port's thread, which touches neither disks nor memory of user
/// processes, and file workers that were at work already: where those write to a frozen file system they wait in the kernel.
/// </remarks>
/// <param name="cgroups">The sandbox's cgroups.</param>
/// <param name="disks">Its disks.</param>
/// <param name="loops">Where the loops stand still.</param>
internal sealed class StandStill(SandboxCgroup cgroups, DiskFreezer disks, ParkingPlace[] loops)
{
    private const int ParkMilliseconds = 2_000;
    private const int FreezeMilliseconds = 3_000;

    private readonly object _gate = new();
    private readonly ProcessFreezer _processes = new(cgroups);
    private bool _standing;
    private bool _watchdogFired;
    private long _watchdogAt = long.MaxValue;
    private ulong? _session; // that has begun since, and whose resume is waited for

    /// <summary>Whether the guest stands still.</summary>
    internal bool IsStanding
    {
        get
        {
            lock (_gate)
            {
                return _standing;
            }
        }
    }

    /// <summary>Starts the watchdog's thread.</summary>
    internal void StartWatchdog() => AgentThread.Start("watchdog", Watch);

    /// <summary>Brings the guest to a stand. If that fails everything is as it was.</summary>
    /// <param name="watchdogMilliseconds">After so long it goes on by itself.</param>
    /// <exception cref="GuestException">It was not possible, or it stands still already.</exception>
    internal void Begin(int watchdogMilliseconds)
    {
        lock (_gate)
        {
            if (_standing)
            {
                throw GuestException.Coded(AgentErrorCodes.Refused, "the guest stands still already");
            }

            _watchdogFired = false;
            try
            {
                Park();
                _processes.Freeze(ClockTicks.Milliseconds + FreezeMilliseconds);
                disks.Freeze();
            }
            catch
            {
                Undo();
                throw;
            }

            _standing = true;
            _session = null;
            _watchdogAt = ClockTicks.Milliseconds + watchdogMilliseconds;
            Monitor.PulseAll(_gate);
        }
    }

    /// <summary>Lets the guest go on in the session in which it was brought to a stand.</summary>
    /// <param name="prepare">Done before, if it stands still or the watchdog has set it going; may throw, after which it goes on all the same.</param>
    /// <returns>Whether the watchdog had set it going before.</returns>
    /// <exception cref="GuestException">It did not stand still.</exception>
    internal bool End(Action prepare)
    {
        lock (_gate)
        {
            if (!_standing && !_watchdogFired)
            {
                throw GuestException.Coded(AgentErrorCodes.Refused, "the guest was not quiesced for a snapshot");
            }

            if (_session is not null)
            {
                throw GuestException.Coded(AgentErrorCodes.Refused, "the guest was quiesced in an earlier session: it waits for a resume");
            }

            bool fired = _watchdogFired;
            _watchdogFired = false;
            try
            {
                prepare();
            }
            finally
            {
                Undo();
            }

            return fired;
        }
    }

    /// <summary>A new session has begun on the control port. A guest that stands still goes on standing, until that session's resume.</summary>
    /// <returns>Whether it stands still.</returns>
    internal bool BeginSession(ulong epoch)
    {
        lock (_gate)
        {
            _watchdogFired = false;
            _watchdogAt = long.MaxValue;
            if (_standing)
            {
                _session = epoch;
                foreach (ParkingPlace loop in loops)
                {
                    loop.BeginSession(epoch);
                }
            }

            return _standing;
        }
    }

    /// <summary>Lets writes to the disks go on, ahead of everything else: a resume has files to write.</summary>
    internal void ThawDisks()
    {
        lock (_gate)
        {
            disks.Thaw();
        }
    }

    /// <summary>The resume of a session is done: a guest that waited for it goes on. Nothing happens if yet another session has begun.</summary>
    internal void EndWithResume(ulong epoch)
    {
        lock (_gate)
        {
            if (_standing && _session == epoch)
            {
                Undo();
            }
        }
    }

    private void Park()
    {
        foreach (ParkingPlace loop in loops)
        {
            loop.Ask();
        }

        long deadline = ClockTicks.Milliseconds + ParkMilliseconds;
        foreach (ParkingPlace loop in loops)
        {
            if (!loop.WaitUntilParked(deadline))
            {
                throw GuestException.Coded(AgentErrorCodes.Refused, "the agent is at work on something that takes its time");
            }
        }
    }

    /// <summary>User processes go on last: everything that they may ask for is there then.</summary>
    private void Undo()
    {
        disks.Thaw();
        foreach (ParkingPlace loop in loops)
        {
            loop.Release();
        }

        _processes.Thaw();
        _standing = false;
        _session = null;
        _watchdogAt = long.MaxValue;
    }

    private void Watch()
    {
        lock (_gate)
        {
            while (true)
            {
                long left = _watchdogAt == long.MaxValue ? Timeout.Infinite : Math.Max(0, _watchdogAt - ClockTicks.Milliseconds);
                if (left != 0)
                {
                    _ = Monitor.Wait(_gate, (int)left);
                    continue;
                }

                Undo();
                _watchdogFired = true;
                KernelConsole.WriteLine("opensandbox-agent: nobody thawed the sandbox after its quiesce: it goes on by itself");
            }
        }
    }
}
