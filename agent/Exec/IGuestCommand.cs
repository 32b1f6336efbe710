using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>A process that the agent has started and whose end it awaits. Belongs to the bulk loop's thread.</summary>
internal interface IGuestCommand
{
    /// <summary>The process, until its status was taken; then 0.</summary>
    int UnreapedPid { get; }

    /// <summary>When <see cref="OnDeadline"/> should be called, milliseconds of <see cref="ClockTicks"/>.</summary>
    long Deadline { get; }

    /// <summary>Something happened to the process or one of its pipes.</summary>
    void OnEvent(uint events, EventKind kind);

    /// <summary><see cref="Deadline"/> has passed.</summary>
    void OnDeadline(long now);

    /// <summary>Reads output only while there is room for it.</summary>
    void UpdateInterest();

    /// <summary>Sends a signal to the process group.</summary>
    /// <returns>Whether the process had not been reaped.</returns>
    bool Signal(int signal);

    /// <summary>Kills the cgroup.</summary>
    /// <returns>Whether there was one to kill.</returns>
    bool Kill();

    /// <summary>What a list of processes says about it.</summary>
    ProcessEntry Describe(uint key);
}
