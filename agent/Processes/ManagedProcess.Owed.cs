using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <content>
/// What has to be read before something else is told: the outputs before a report, and before the result. Pipes are read here without waiting
/// for them to say that there is something: a process in the guest that has opened them too may have read it, and then they never do.
/// </content>
internal sealed partial class ManagedProcess
{
    /// <summary>The left-over processes' time is up; what the process itself had written by its end still comes.</summary>
    private void OnDrainDeadline(long now)
    {
        PumpOwed(_output);
        PumpOwed(_error);
        if (_output.Owed == 0 && _error.Owed == 0)
        {
            PassReports();
            Conclude();
            return;
        }

        Deliver();
        UpdatePipes();
        _quietAt = _drainLimitAt = now + DrainQuietMilliseconds; // the ring is full: due again once there is room
    }

    /// <summary>Reads what is owed, as far as there is room for it.</summary>
    private void PumpOwed(CapturePipe pipe)
    {
        while (pipe.Owed > 0 && pipe.Pump(Ring, Hold) > 0)
        {
        }
    }

    /// <summary>
    /// The process has reported something. It is passed on after what is in the outputs now, as that was written before: what is not there
    /// yet cannot have been.
    /// </summary>
    private void OnReport(uint events)
    {
        if (_report.Owed == 0 && !_report.IsClosed)
        {
            _report.MeasureOwed();
            if (_report.Owed == 0)
            {
                if ((events & Linux.EPOLLIN) == 0)
                {
                    _report.Close();
                }

                return;
            }

            _output.MeasureOwed();
            _error.MeasureOwed();
            _report.Watch(wanted: false, Key);
        }
    }

    private void PassReports()
    {
        if (_report.Owed == 0)
        {
            return;
        }

        PumpOwed(_output);
        PumpOwed(_error);
        if (_output.Owed > 0 || _error.Owed > 0)
        {
            return; // the ring is full
        }

        int count;
        do
        {
            count = _report.Pump(Ring, Hold, (int)_report.Owed);
        }
        while (count > 0 && _report.Owed > 0);
        if (_report.Owed == 0)
        {
            _report.Watch(wanted: true, Key);
        }

        Deliver();
    }
}
