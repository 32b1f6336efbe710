using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using OpenSandbox.Vmm.Golden;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Archives;

/// <summary>
/// What an archive says of the sandbox in it. It names no files: those that belong to it have fixed names. All of it is hostile, and valid only
/// in the sense of <see cref="Validate"/>.
/// </summary>
internal sealed record ArchiveManifest : IManifest<ArchiveManifest>
{
    public static int CurrentFormat => 1;

    public static string Description => "archive manifest";

    public static JsonTypeInfo<ArchiveManifest> JsonType => StateJsonContext.Default.ArchiveManifest;

    /// <summary>Format of the manifest.</summary>
    [JsonRequired]
    public int Format { get; init; } = CurrentFormat;

    /// <summary>The id that the sandbox had.</summary>
    public required string SandboxId { get; init; }

    /// <summary>When the sandbox was made, UTC.</summary>
    [JsonRequired]
    public DateTimeOffset CreatedAt { get; init; }

    /// <summary>When it was put away, UTC.</summary>
    [JsonRequired]
    public DateTimeOffset SavedAt { get; init; }

    /// <summary>Its memory; <see langword="null"/>: the disks alone are in the archive.</summary>
    public ArchiveMemory? Memory { get; init; }

    /// <summary>The golden snapshot that the memory is a difference to.</summary>
    public required GoldenIdentity Identity { get; init; }

    /// <summary>Its key.</summary>
    public required string GoldenKey { get; init; }

    /// <summary>Digest of its RAM.</summary>
    public required string GoldenRamSha256 { get; init; }

    /// <summary>The root file system, if it has one.</summary>
    public ArchiveDisk? Rootfs { get; init; }

    /// <summary>The workspace, if it has one.</summary>
    public ArchiveDisk? Workspace { get; init; }

    /// <summary>What the sandbox was made of.</summary>
    public required SandboxRecord Sandbox { get; init; }

    /// <summary>The entries that the archive has, in their order.</summary>
    internal IReadOnlyList<string> EntryNames =>
    [
        .. Memory is null ? Array.Empty<string>() : [ArchiveNames.DeviceState, ArchiveNames.Memory],
        .. Rootfs is null ? Array.Empty<string>() : [RootfsName],
        .. Workspace is null ? Array.Empty<string>() : [WorkspaceName],
    ];

    /// <summary>Name of the entry with the root disk's layer.</summary>
    internal static string RootfsName { get; } = ArchiveNames.Layer("rootfs");

    /// <summary>Name of the entry with the workspace's layer.</summary>
    internal static string WorkspaceName { get; } = ArchiveNames.Layer("workspace");

    public void Validate()
    {
        ManifestRules.Require(StateIds.IsSandbox(SandboxId), "sandboxId", "it is not sb- and 8 to 32 hexadecimal digits");
        ManifestRules.Utc(CreatedAt, "createdAt");
        ManifestRules.Utc(SavedAt, "savedAt");
        IdentityRules.Validate(Identity, "identity");
        ManifestRules.Range(Identity.BaseMemoryMib, 1, 1 << 24, "identity.baseMemoryMib");
        ManifestRules.Range(Identity.MaxMemoryMib, Identity.BaseMemoryMib, 1 << 24, "identity.maxMemoryMib");
        ManifestRules.Require(StateIds.IsDigest(GoldenKey), "goldenKey", "it is not 64 hexadecimal digits in lower case");
        ManifestRules.Require(StateIds.IsDigest(GoldenRamSha256), "goldenRamSha256", "it is not 64 hexadecimal digits in lower case");
        Memory?.Validate("memory", GoldenReference.Shape.PluggableBytes);
        Rootfs?.Validate("rootfs");
        Workspace?.Validate("workspace");
        ManifestRules.Require(Workspace is null || Rootfs is not null, "workspace", "there is none without a root file system");
        Sandbox.Validate("sandbox");
        ManifestRules.Require((Sandbox.Image is null) == (Rootfs is null), "rootfs", "it is there exactly if the sandbox has an image");
        ManifestRules.Require(
            (Workspace is not null) == (Rootfs is not null && Sandbox.Workspace), "workspace", "it is there exactly if the sandbox has one");
    }

    /// <summary>The golden snapshot as it is looked for.</summary>
    [JsonIgnore]
    internal GoldenReference GoldenReference => new(GoldenKey, Identity, GoldenRamSha256);
}
