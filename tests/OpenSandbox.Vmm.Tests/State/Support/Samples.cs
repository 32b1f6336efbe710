using OpenSandbox.Vmm.Golden;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Tests.State;

/// <summary>Manifests to start from.</summary>
internal static class Samples
{
    internal const string SandboxId = "sb-0123abcd";
    internal const string OtherSandboxId = "sb-00000001";
    internal const string BootId = "0d5c3a4e-1f5e-4a6b-9c54-3f0a3a1a6d11";

    internal static readonly string ImageDigest = new('1', 64);
    internal static readonly string WorkspaceDigest = new('2', 64);

    internal static DateTimeOffset Time { get; } = new(2026, 1, 2, 3, 4, 5, TimeSpan.Zero);

    internal static GoldenIdentity Identity { get; } = new()
    {
        Format = GoldenIdentity.CurrentFormat,
        ProtocolGeneration = 1,
        DeviceListVersion = 1,
        QemuVersion = "7.2.22",
        MachineType = "pc-q35-7.2",
        Accelerator = "tcg",
        CpuModel = "max",
        VcpuCount = 2,
        BaseMemoryMib = 512,
        MaxMemoryMib = 1_024,
        RootfsBytes = 1 << 30,
        WorkspaceBytes = 1 << 30,
        KernelSha256 = new string('a', 64),
        InitramfsSha256 = new string('b', 64),
        KernelArguments = "quiet",
    };

    internal static LimitsRecord Limits { get; } = new() { MemoryMib = 512, CpuPercent = 160, PidsMax = 128 };

    internal static SandboxRecord Record { get; } = SandboxRecord.From(
        new SandboxSpec
        {
            Hostname = "box",
            EnvironmentVariables = new Dictionary<string, string> { ["LANG"] = "C.UTF-8" },
            Labels = new Dictionary<string, string> { ["owner"] = "me" },
            Egress = EgressPolicy.AllowOnly("pypi.org:443"),
        },
        Limits);

    internal static VmRecord Vm { get; } = new()
    {
        LauncherPid = 100,
        LauncherStartTicks = 1_000,
        QemuPid = 101,
        QemuStartTicks = 1_001,
        BootId = BootId,
        Nonce = "00112233445566778899aabbccddeeff",
        Uid = 1_900_000_001,
        RuntimeDirectory = "/run/opensandbox/vm/sb-0123abcd",
    };

    internal static GoldenRecord Golden { get; } = new() { Identity = Identity, Key = Identity.ComputeKey(), RamSha256 = ImageDigest };

    internal static SandboxManifest Sandbox(string id = SandboxId, params LayerRef[] rootfs) => new()
    {
        Id = id,
        State = RecordedState.Running,
        Lifetime = RecordedLifetime.Detached,
        CreatedAt = Time,
        Sandbox = Record,
        Golden = Golden,
        Disks = Disks(rootfs),
    };

    internal static DiskChains Disks(params LayerRef[] rootfs) => new()
    {
        Rootfs = new DiskChain { ImageDigest = ImageDigest, VirtualBytes = 1 << 30, Layers = rootfs },
    };

    internal static SnapshotManifest Snapshot(string id, SnapshotKind kind, string sandboxId = SandboxId, params LayerRef[] rootfs) => new()
    {
        Id = id,
        Kind = kind,
        SandboxId = sandboxId,
        CreatedAt = Time,
        Identity = Identity,
        GoldenKey = Identity.ComputeKey(),
        GoldenRamSha256 = ImageDigest,
        Disks = Disks(rootfs),
        Sandbox = Record,
    };
}
