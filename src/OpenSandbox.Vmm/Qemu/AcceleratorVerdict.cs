namespace OpenSandbox.Vmm.Qemu;

/// <summary>What was found out about the accelerator, once per boot of the host.</summary>
internal sealed record AcceleratorVerdict
{
    /// <summary>The host's boot id; another one makes the verdict void.</summary>
    public required string BootId { get; init; }

    /// <summary>QEMU's version; another one makes the verdict void.</summary>
    public required string QemuVersion { get; init; }

    /// <summary><c>kvm</c> or <c>tcg</c>.</summary>
    public required string Accelerator { get; init; }

    /// <summary>Why, for people.</summary>
    public required string Reason { get; init; }
}
