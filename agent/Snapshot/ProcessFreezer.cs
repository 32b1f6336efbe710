using Microsoft.Win32.SafeHandles;
using OpenSandbox.Cgroups;
using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>Stops all user processes where they are, with the cgroup freezer, and lets them go on. One thread at a time.</summary>
/// <param name="cgroups">The sandbox's cgroups.</param>
internal sealed class ProcessFreezer(SandboxCgroup cgroups)
{
    private Cgroup? _group;

    /// <summary>Freezes them. If that fails they run as before.</summary>
    /// <param name="deadline">Until when all must stand still, milliseconds of <see cref="ClockTicks"/>.</param>
    /// <exception cref="GuestException">Some did not stop in time, or the kernel refused.</exception>
    internal void Freeze(long deadline)
    {
        try
        {
            _group ??= cgroups.OpenGroup();
            using SafeFileHandle events = _group.OpenControl("cgroup.events");
            _group.Write("cgroup.freeze", "1");
            if (WaitUntilFrozen(events, deadline))
            {
                return;
            }
        }
        catch (CgroupException exception)
        {
            Thaw();
            throw GuestException.Coded(VirtioSerial.AgentErrorCodes.System, exception.Message, exception.Errno);
        }

        Thaw();
        throw GuestException.Coded(
            VirtioSerial.AgentErrorCodes.Refused, "a process of the sandbox waits in the kernel and could not be stopped in time");
    }

    /// <summary>Lets them go on, if they do not.</summary>
    internal void Thaw()
    {
        if (_group is not { } group)
        {
            return;
        }

        try
        {
            group.Write("cgroup.freeze", "0");
        }
        catch (CgroupException exception)
        {
            // The sandbox's root can remove the group only while it is empty: then nobody is left to thaw.
            KernelConsole.WriteLine("opensandbox-agent: " + exception.Message);
        }

        group.Dispose();
        _group = null;
    }

    private static bool WaitUntilFrozen(SafeFileHandle events, long deadline)
    {
        while (true)
        {
            // Reading it also arms the next report of a change.
            if (CgroupFiles.Value(events, "frozen"u8) == 1)
            {
                return true;
            }

            long left = deadline - ClockTicks.Milliseconds;
            if (left <= 0)
            {
                return false;
            }

            var poll = new PollFd { Fd = (int)events.DangerousGetHandle(), Events = Linux.POLLPRI };
            _ = Libc.Poll(ref poll, 1, (int)left); // EINTR and the deadline are told apart above
        }
    }
}
