namespace OpenSandbox.Vmm;

/// <summary>The policy, the guard or a limit refused what the guest asked for.</summary>
internal sealed class EgressRefusedException(EgressRefusalReason reason, string message) : Exception(message)
{
    /// <summary>Why.</summary>
    internal EgressRefusalReason Reason { get; } = reason;
}
