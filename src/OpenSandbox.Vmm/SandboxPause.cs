namespace OpenSandbox.Vmm;

/// <summary>What came of pausing a sandbox.</summary>
public sealed record SandboxPause
{
    internal SandboxPause(long pagedOutBytes) => PagedOutBytes = pagedOutBytes;

    /// <summary>By how much the memory that the VM has resident became less, bytes; 0 if it was not asked for.</summary>
    public long PagedOutBytes { get; }
}
