using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>What the control port decides and the bulk port obeys. Thread-safe.</summary>
internal sealed class GuestState
{
    private readonly Lock _gate = new();
    private ulong _epoch;
    private ResumeDecision _decision;
    private bool _everResumed;
    private (SandboxDescription?, long) _identity;

    /// <summary>Whether this machine has been resumed since its boot, that is, since the golden snapshot.</summary>
    internal bool EverResumed
    {
        get
        {
            lock (_gate)
            {
                return _everResumed;
            }
        }
    }

    /// <summary>The session that the control port has begun last.</summary>
    internal ulong Epoch
    {
        get
        {
            lock (_gate)
            {
                return _epoch;
            }
        }
    }

    /// <summary>What the last resume said about the sandbox, and when (milliseconds of <see cref="ClockTicks"/>).</summary>
    internal (SandboxDescription? Description, long ResumedAt) Identity
    {
        get
        {
            lock (_gate)
            {
                return _identity;
            }
        }

        set
        {
            lock (_gate)
            {
                _identity = value;
            }
        }
    }

    /// <summary>What was decided about a session.</summary>
    internal ResumeDecision DecisionFor(ulong epoch)
    {
        lock (_gate)
        {
            return epoch == _epoch ? _decision : ResumeDecision.Pending;
        }
    }

    /// <summary>Begins a session that nothing is decided about.</summary>
    internal void BeginSession(ulong epoch)
    {
        lock (_gate)
        {
            _epoch = epoch;
            _decision = ResumeDecision.Pending;
        }
    }

    /// <summary>Decides about the resume of a session, unless another one has begun.</summary>
    internal void Decide(ulong epoch, bool resumed)
    {
        lock (_gate)
        {
            _everResumed |= resumed;
            if (epoch == _epoch)
            {
                _decision = resumed ? ResumeDecision.Resumed : ResumeDecision.Failed;
            }
        }
    }
}
