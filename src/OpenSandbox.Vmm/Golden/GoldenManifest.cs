namespace OpenSandbox.Vmm.Golden;

/// <summary>The file <c>manifest.json</c> of a golden snapshot: its identity, and lengths and digests of the files beside it.</summary>
public sealed record GoldenManifest
{
    /// <summary>What the snapshot was made from and for.</summary>
    public required GoldenIdentity Identity { get; init; }

    /// <summary>Length of <c>ram</c>, bytes.</summary>
    public required long RamBytes { get; init; }

    /// <summary>Sparse digest of <c>ram</c> (docs/golden-images.md).</summary>
    public required string RamSha256 { get; init; }

    /// <summary>Length of <c>device-state</c>, bytes.</summary>
    public required long DeviceStateBytes { get; init; }

    /// <summary>SHA-256 of <c>device-state</c>.</summary>
    public required string DeviceStateSha256 { get; init; }

    /// <summary>Kernel release inside.</summary>
    public string? KernelRelease { get; init; }

    /// <summary>Version of the agent inside.</summary>
    public string? AgentVersion { get; init; }

    /// <summary>When it was built.</summary>
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>Which version of this library built it.</summary>
    public required string CreatedBy { get; init; }
}
