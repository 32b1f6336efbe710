namespace OpenSandbox.Vmm;

/// <summary>What was saved of a sandbox cannot be used. No instruction of a guest has run; what is on disk is as it was.</summary>
public sealed class SandboxSnapshotException : SandboxException
{
    internal SandboxSnapshotException(string? sandboxId, string what, IReadOnlyList<string> mismatches, Exception? inner = null)
        : base(SandboxErrorCode.Snapshot, sandboxId, $"{what}: {string.Join("; ", mismatches)}", inner) => Mismatches = mismatches;

    /// <summary>Everything that is wrong with it, each as one sentence.</summary>
    public IReadOnlyList<string> Mismatches { get; }
}
