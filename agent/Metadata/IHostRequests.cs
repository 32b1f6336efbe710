namespace OpenSandbox.Agent;

/// <summary>What the sandbox's processes can ask the host for, through the agent.</summary>
internal interface IHostRequests
{
    /// <summary>Asks for another size.</summary>
    /// <param name="memoryMib">Memory, MiB; any number that a process sent.</param>
    /// <param name="cpuPercent">CPU limit in percent of one CPU; any number that a process sent.</param>
    /// <param name="answered">Gets the host's answer, once, on any thread.</param>
    /// <returns><see langword="false"/>: the host cannot be asked, and <paramref name="answered"/> is not called.</returns>
    bool RequestScale(long memoryMib, long? cpuPercent, Action<ScaleAnswer> answered);
}
