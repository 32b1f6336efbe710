namespace OpenSandbox.Agent;

/// <summary>Starts the agent's threads.</summary>
internal static class AgentThread
{
    private const int StackSize = 512 * 1024;

    /// <summary>Runs something on a thread of its own. It must not throw: that would end the process.</summary>
    internal static void Start(string name, ThreadStart body) =>
        new Thread(body, StackSize) { Name = name, IsBackground = true }.Start();
}
