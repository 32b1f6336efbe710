namespace OpenSandbox.Vmm;

/// <summary>The host has no room for another sandbox now.</summary>
public sealed class SandboxCapacityException : SandboxException
{
    internal SandboxCapacityException(string message, Exception? inner = null)
        : base(SandboxErrorCode.Capacity, null, message, inner)
    {
    }

    /// <inheritdoc/>
    public override bool IsTransient => true;
}
