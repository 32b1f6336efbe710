using Microsoft.Extensions.Logging;

namespace OpenSandbox.Vmm;

/// <summary>Log messages of the network: event ids 5000 to 5999. Names and addresses, never what is sent or answered.</summary>
internal static partial class EgressLog
{
    [LoggerMessage(5001, LogLevel.Information, "Sandbox {SandboxId}: connection to {Address} port {Port} refused: {Reason} {Rule} {Detail}")]
    internal static partial void ConnectionRefused(
        ILogger logger, string sandboxId, string address, int port, EgressRefusalReason reason, string rule, string detail);

    [LoggerMessage(5002, LogLevel.Information, "Sandbox {SandboxId}: name '{Name}' refused: {Reason} {Rule} {Detail}")]
    internal static partial void NameRefused(ILogger logger, string sandboxId, string name, EgressRefusalReason reason, string rule, string detail);

    [LoggerMessage(5003, LogLevel.Information, "Sandbox {SandboxId}: {Count} more refusals were not logged")]
    internal static partial void RefusalsNotLogged(ILogger logger, string sandboxId, long count);

    [LoggerMessage(5004, LogLevel.Information, "Sandbox {SandboxId}: egress policy is now: {Policy}; {Closed} connections were reset")]
    internal static partial void PolicyChanged(ILogger logger, string sandboxId, string policy, int closed);
}
