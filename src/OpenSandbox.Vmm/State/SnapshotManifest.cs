using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using OpenSandbox.Vmm.Golden;

namespace OpenSandbox.Vmm.State;

/// <summary>The manifest of a snapshot.</summary>
internal sealed record SnapshotManifest : IManifest<SnapshotManifest>
{
    /// <summary>Longest name, bytes.</summary>
    internal const int MaxNameBytes = 256;

    public static int CurrentFormat => 1;

    public static string Description => "snapshot manifest";

    public static JsonTypeInfo<SnapshotManifest> JsonType => StateJsonContext.Default.SnapshotManifest;

    /// <summary>Format of the manifest and of the files beside it.</summary>
    [JsonRequired]
    public int Format { get; init; } = CurrentFormat;

    /// <summary>Its id, which is the name of its directory too.</summary>
    public required string Id { get; init; }

    /// <summary>What it is for.</summary>
    [JsonRequired]
    public SnapshotKind Kind { get; init; }

    /// <summary>The sandbox that it was made of; a checkpoint outlives it.</summary>
    public required string SandboxId { get; init; }

    /// <summary>What its owner calls it.</summary>
    public string? Name { get; init; }

    /// <summary>When it was made, UTC.</summary>
    [JsonRequired]
    public DateTimeOffset CreatedAt { get; init; }

    /// <summary>The memory of the VM; <see langword="null"/>: disks only, the guest boots from them.</summary>
    public SnapshotMemory? Memory { get; init; }

    /// <summary>The golden snapshot that the memory is a difference to.</summary>
    public required GoldenIdentity Identity { get; init; }

    /// <summary>Name of the golden snapshot's directory.</summary>
    public required string GoldenKey { get; init; }

    /// <summary>Digest of its RAM: one that was lost and built again has the same key and another content, which the memory does not fit.</summary>
    public required string GoldenRamSha256 { get; init; }

    /// <summary>The disks; every layer is frozen.</summary>
    public required DiskChains Disks { get; init; }

    /// <summary>What the sandbox was made of.</summary>
    public required SandboxRecord Sandbox { get; init; }

    /// <summary>When the sandbox's time was up, which what is made of a checkpoint inherits; of a hibernation the sandbox's manifest says it.</summary>
    public ExpiryRecord? Expiry { get; init; }

    /// <summary>Whether it stays whatever <see cref="CheckpointRetention"/> says, until it is deleted by its id.</summary>
    public bool Retained { get; init; }

    /// <summary>Whether whatever is made of it is another machine than the one that was saved: machine id and host name.</summary>
    public bool RenewIdentity { get; init; }

    public void Validate()
    {
        ManifestRules.Require(StateIds.IsSnapshot(Id), "id", "it is not sn- and 16 hexadecimal digits");
        ManifestRules.Require(Enum.IsDefined(Kind), "kind", $"{Kind} is none");
        ManifestRules.Require(StateIds.IsSandbox(SandboxId), "sandboxId", "it is not sb- and 8 to 32 hexadecimal digits");
        if (Name is not null)
        {
            ManifestRules.Text(Name, 1, MaxNameBytes, "name");
        }

        ManifestRules.Utc(CreatedAt, "createdAt");
        Memory?.Validate("memory");
        IdentityRules.Validate(Identity, "identity");
        ManifestRules.Require(StateIds.IsDigest(GoldenKey), "goldenKey", "it is not 64 hexadecimal digits in lower case");
        ManifestRules.Require(StateIds.IsDigest(GoldenRamSha256), "goldenRamSha256", "it is not 64 hexadecimal digits in lower case");
        Disks.Validate("disks", mustBeFrozen: true);
        Sandbox.Validate("sandbox");
        Expiry?.Validate("expiry");
    }
}
