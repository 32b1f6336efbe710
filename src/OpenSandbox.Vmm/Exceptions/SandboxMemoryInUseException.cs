namespace OpenSandbox.Vmm;

/// <summary>A sandbox cannot be made smaller: its processes hold more memory than would be left. Nothing was changed.</summary>
public sealed class SandboxMemoryInUseException : SandboxException
{
    internal SandboxMemoryInUseException(string sandboxId, int requestedMib, int inUseMib, int neededMib, int shortfallMib)
        : base(
            SandboxErrorCode.MemoryInUse,
            sandboxId,
            $"sandbox {sandboxId} cannot be made {requestedMib} MiB large: its processes hold {inUseMib} MiB, {shortfallMib} MiB more than they "
                + $"could have then; free that much, or ask for {neededMib} MiB or more. Nothing was changed",
            null)
    {
        RequestedMib = requestedMib;
        InUseMib = inUseMib;
        NeededMib = neededMib;
        ShortfallMib = shortfallMib;
    }

    /// <summary>The size that was asked for, MiB.</summary>
    public int RequestedMib { get; }

    /// <summary>What the sandbox's processes hold and the guest's kernel cannot reclaim, MiB.</summary>
    public int InUseMib { get; }

    /// <summary>The smallest size that would have been possible, MiB.</summary>
    public int NeededMib { get; }

    /// <summary>What would have to be freed for the size that was asked for, MiB.</summary>
    public int ShortfallMib { get; }

    /// <inheritdoc/>
    public override bool IsTransient => true;
}
