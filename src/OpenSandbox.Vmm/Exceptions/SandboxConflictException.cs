namespace OpenSandbox.Vmm;

/// <summary>Another operation on the same sandbox is under way; nothing was changed. The same call may succeed when that has ended.</summary>
public sealed class SandboxConflictException : SandboxException
{
    internal SandboxConflictException(string sandboxId, string asked, string underWay)
        : base(SandboxErrorCode.Conflict, sandboxId, $"sandbox {sandboxId}: {asked} has to wait: {underWay} is under way", null) =>
        UnderWay = underWay;

    /// <summary>What is under way, for people.</summary>
    public string UnderWay { get; }

    /// <inheritdoc/>
    public override bool IsTransient => true;
}
