using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <content>Requests of the sandbox's processes that the host decides on.</content>
internal sealed partial class NetworkLoop
{
    /// <inheritdoc/>
    public bool RequestScale(long memoryMib, long? cpuPercent, Action<ScaleAnswer> answered)
    {
        var request = new OpenRequest { Op = Operations.Scale, Scale = new ScaleRequest { MemoryMib = memoryMib, CpuPercent = cpuPercent } };
        Post(() => Ask(request, (reply, error) => answered(Describe(reply, error))));
        return true;
    }

    private static ScaleAnswer Describe(HostReply? reply, AgentError? error) => (reply, error) switch
    {
        ({ MemoryMib: { } memory, CpuPercent: { } cpu }, _) => new ScaleAnswer(200, memory, cpu, ""),
        (_, { Code: AgentErrorCodes.InvalidRequest }) => new ScaleAnswer(400, 0, 0, error.Message),
        (_, { Code: AgentErrorCodes.Refused }) => new ScaleAnswer(503, 0, 0, error.Message),
        (_, not null) => new ScaleAnswer(409, 0, 0, error.Message),
        _ => new ScaleAnswer(503, 0, 0, "scaling from inside is not available"),
    };
}
