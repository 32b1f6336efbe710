using System.Security.Cryptography;
using System.Text.Json;

namespace OpenSandbox.Vmm.Golden;

/// <summary>Everything that a golden snapshot depends on. Two hosts with equal identities can use each other's snapshots.</summary>
public sealed record GoldenIdentity
{
    /// <summary>Version of the manifest and of the files beside it.</summary>
    public const int CurrentFormat = 1;

    /// <summary>Format of the snapshot's files; <see cref="CurrentFormat"/> when written by this version.</summary>
    public required int Format { get; init; }

    /// <summary>Generation of the protocol that the agent inside speaks.</summary>
    public required int ProtocolGeneration { get; init; }

    /// <summary>Version of the device list on QEMU's command line.</summary>
    public required int DeviceListVersion { get; init; }

    /// <summary>QEMU's full version text.</summary>
    public required string QemuVersion { get; init; }

    /// <summary>Versioned machine type.</summary>
    public required string MachineType { get; init; }

    /// <summary><c>kvm</c> or <c>tcg</c>.</summary>
    public required string Accelerator { get; init; }

    /// <summary>CPU model, with the host's own under KVM.</summary>
    public required string CpuModel { get; init; }

    /// <summary>Virtual CPUs.</summary>
    public required int VcpuCount { get; init; }

    /// <summary>RAM, MiB.</summary>
    public required int BaseMemoryMib { get; init; }

    /// <summary>RAM up to which memory can be plugged in, MiB.</summary>
    public required int MaxMemoryMib { get; init; }

    /// <summary>Size of the first disk, bytes.</summary>
    public required long RootfsBytes { get; init; }

    /// <summary>Size of the second disk, bytes.</summary>
    public required long WorkspaceBytes { get; init; }

    /// <summary>SHA-256 of the kernel.</summary>
    public required string KernelSha256 { get; init; }

    /// <summary>SHA-256 of the initramfs, which has the agent and the modules in it.</summary>
    public required string InitramfsSha256 { get; init; }

    /// <summary>The kernel's command line.</summary>
    public required string KernelArguments { get; init; }

    /// <summary>SHA-256 over all of it: the name of the snapshot's directory.</summary>
    public string ComputeKey() =>
        Convert.ToHexStringLower(SHA256.HashData(JsonSerializer.SerializeToUtf8Bytes(this, VmmJsonContext.Default.GoldenIdentity)));

    /// <summary>Every field in which <paramref name="actual"/> differs from this, each as one sentence.</summary>
    internal List<string> Compare(GoldenIdentity actual)
    {
        var mismatches = new List<string>();
        Add("format", Format, actual.Format);
        Add("protocol generation", ProtocolGeneration, actual.ProtocolGeneration);
        Add("device list version", DeviceListVersion, actual.DeviceListVersion);
        Add("QEMU version", QemuVersion, actual.QemuVersion);
        Add("machine type", MachineType, actual.MachineType);
        Add("accelerator", Accelerator, actual.Accelerator);
        Add("CPU model", CpuModel, actual.CpuModel);
        Add("vCPU count", VcpuCount, actual.VcpuCount);
        Add("base memory (MiB)", BaseMemoryMib, actual.BaseMemoryMib);
        Add("largest memory (MiB)", MaxMemoryMib, actual.MaxMemoryMib);
        Add("root disk size", RootfsBytes, actual.RootfsBytes);
        Add("workspace disk size", WorkspaceBytes, actual.WorkspaceBytes);
        Add("kernel SHA-256", KernelSha256, actual.KernelSha256);
        Add("initramfs SHA-256", InitramfsSha256, actual.InitramfsSha256);
        Add("kernel arguments", KernelArguments, actual.KernelArguments);
        return mismatches;

        void Add<T>(string name, T wanted, T found)
        {
            if (!EqualityComparer<T>.Default.Equals(wanted, found))
            {
                mismatches.Add($"{name} is '{found}' instead of '{wanted}'");
            }
        }
    }
}
