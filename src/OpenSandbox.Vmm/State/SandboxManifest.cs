using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace OpenSandbox.Vmm.State;

/// <summary>The manifest of a sandbox: all that survives its host process.</summary>
internal sealed record SandboxManifest : IManifest<SandboxManifest>
{
    public static int CurrentFormat => 1;

    public static string Description => "sandbox manifest";

    public static JsonTypeInfo<SandboxManifest> JsonType => StateJsonContext.Default.SandboxManifest;

    /// <summary>Format of the manifest.</summary>
    [JsonRequired]
    public int Format { get; init; } = CurrentFormat;

    /// <summary>Its id, which is the name of its directory too.</summary>
    public required string Id { get; init; }

    /// <summary>Raised by each commit, from 1; 0 before the first. A commit is refused if it is not the one on disk.</summary>
    [JsonRequired]
    public long Generation { get; init; }

    /// <summary>Where it is in its life.</summary>
    [JsonRequired]
    public RecordedState State { get; init; }

    /// <summary>What its VM lives as long as.</summary>
    [JsonRequired]
    public RecordedLifetime Lifetime { get; init; }

    /// <summary>When it was made, UTC.</summary>
    [JsonRequired]
    public DateTimeOffset CreatedAt { get; init; }

    /// <summary>What it is made of.</summary>
    public required SandboxRecord Sandbox { get; init; }

    /// <summary>Its disks. The top layer of each is active while it runs.</summary>
    public required DiskChains Disks { get; init; }

    /// <summary>Its own hibernation snapshot, which it sleeps in; it must name one while it is hibernated.</summary>
    public string? SnapshotId { get; init; }

    /// <summary>The VM, if it runs and is detached.</summary>
    public VmRecord? Vm { get; init; }

    /// <summary>The golden snapshot that the VM's memory is a copy of, if it runs and is detached.</summary>
    public GoldenRecord? Golden { get; init; }

    /// <summary>A change under way. The snapshot that it names is kept.</summary>
    public OperationRecord? Operation { get; init; }

    /// <summary>When its time is up.</summary>
    public ExpiryRecord? Expiry { get; init; }

    public void Validate()
    {
        ManifestRules.Require(StateIds.IsSandbox(Id), "id", "it is not sb- and 8 to 32 hexadecimal digits");
        ManifestRules.Range(Generation, 0, long.MaxValue - 1, "generation");
        ManifestRules.Require(Enum.IsDefined(State), "state", $"{State} is none");
        ManifestRules.Require(Enum.IsDefined(Lifetime), "lifetime", $"{Lifetime} is none");
        ManifestRules.Utc(CreatedAt, "createdAt");
        Sandbox.Validate("sandbox");
        Disks.Validate("disks", mustBeFrozen: State == RecordedState.Hibernated);
        ManifestRules.Require(SnapshotId is null || StateIds.IsSnapshot(SnapshotId), "snapshotId", "it is not sn- and 16 hexadecimal digits");
        ManifestRules.Require(State != RecordedState.Hibernated || SnapshotId is not null, "snapshotId", "a hibernated sandbox names its snapshot");
        Vm?.Validate("vm");
        Golden?.Validate("golden");
        ManifestRules.Require(Vm is null || Golden is not null, "golden", "a recorded VM is a copy of a golden snapshot");
        ManifestRules.Require(Vm is null || State != RecordedState.Hibernated, "vm", "a hibernated sandbox has no VM");
        ManifestRules.Require(Vm is null || Lifetime == RecordedLifetime.Detached, "vm", "only a detached sandbox's VM is recorded");
        Operation?.Validate("operation");
        Expiry?.Validate("expiry");
    }
}
