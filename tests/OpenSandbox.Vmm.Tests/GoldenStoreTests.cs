using System.Security.Cryptography;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Golden;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Vmm.Tests;

/// <summary>Every kind of damage to a saved golden snapshot is refused before QEMU is started, with everything that is wrong named.</summary>
public sealed class GoldenStoreTests
{
    private static readonly GoldenIdentity s_identity = new()
    {
        Format = GoldenIdentity.CurrentFormat,
        ProtocolGeneration = 1,
        DeviceListVersion = 1,
        QemuVersion = "7.2.22",
        MachineType = "pc-q35-7.2",
        Accelerator = "tcg",
        CpuModel = "max",
        VcpuCount = 2,
        BaseMemoryMib = 8,
        MaxMemoryMib = 1_024,
        RootfsBytes = 1 << 30,
        WorkspaceBytes = 1 << 30,
        KernelSha256 = new string('a', 64),
        InitramfsSha256 = new string('b', 64),
        KernelArguments = "quiet",
    };

    [Fact]
    public void Load_AsSaved_IsSealed()
    {
        using var directory = new TemporaryDirectory();
        Save(directory);

        GoldenImage image = Load(directory, s_identity);

        Assert.True(image.Ram.IsSealed);
        using SafeFileHandle first = image.OpenDeviceState();
        using SafeFileHandle second = image.OpenDeviceState();
        byte[] bytes = new byte[16];
        Assert.Equal(16, RandomAccess.Read(first, bytes, 0));
        Assert.Equal(16, RandomAccess.Read(second, bytes, 0));
        image.Close();
    }

    [Fact]
    public void Load_MadeForAnotherHost_NamesEveryMismatch()
    {
        using var directory = new TemporaryDirectory();
        Save(directory);
        GoldenIdentity other = s_identity with { QemuVersion = "8.0.0", VcpuCount = 4, KernelSha256 = new string('c', 64) };

        GoldenImageException failure = Assert.Throws<GoldenImageException>(() => Load(directory, other));

        Assert.Equal(3, failure.Mismatches.Count);
        Assert.Contains("QEMU version is '7.2.22' instead of '8.0.0'", failure.Message, StringComparison.Ordinal);
        Assert.Contains("vCPU count is '2' instead of '4'", failure.Message, StringComparison.Ordinal);
        Assert.Contains("kernel SHA-256", failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("ram", "RAM")]
    [InlineData("device-state", "device state")]
    public void Load_BitFlippedAnywhere_IsRefused(string file, string named)
    {
        using var directory = new TemporaryDirectory();
        Save(directory);
        byte[] original = File.ReadAllBytes(directory.File(file));
        var random = new Random(11);
        for (int attempt = 0; attempt < 40; attempt++)
        {
            byte[] damaged = (byte[])original.Clone();
            damaged[random.Next(damaged.Length)] ^= (byte)(1 << random.Next(8));
            File.WriteAllBytes(directory.File(file), damaged);
            GoldenImageException failure = Assert.Throws<GoldenImageException>(() => Load(directory, s_identity));
            Assert.Contains(named, failure.Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("ram")]
    [InlineData("device-state")]
    [InlineData("manifest.json")]
    public void Load_TruncatedOrMissing_IsRefused(string file)
    {
        using var directory = new TemporaryDirectory();
        Save(directory);
        byte[] original = File.ReadAllBytes(directory.File(file));
        foreach (int length in (int[])[original.Length - 1, original.Length / 2, 1, 0])
        {
            File.WriteAllBytes(directory.File(file), original[..length]);
            Assert.NotEmpty(Assert.Throws<GoldenImageException>(() => Load(directory, s_identity)).Mismatches);
        }

        File.Delete(directory.File(file));
        Assert.NotEmpty(Assert.Throws<GoldenImageException>(() => Load(directory, s_identity)).Mismatches);
    }

    [Fact]
    public void Load_SeveralThingsWrong_NamesThemAll()
    {
        using var directory = new TemporaryDirectory();
        Save(directory);
        File.Delete(directory.File("ram"));
        File.WriteAllBytes(directory.File("device-state"), [1]);

        GoldenImageException failure = Assert.Throws<GoldenImageException>(() => Load(directory, s_identity with { MachineType = "pc-q35-8.0" }));

        Assert.Equal(3, failure.Mismatches.Count);
    }

    [Fact]
    public void ComputeKey_AnyFieldChanged_Differs()
    {
        GoldenIdentity[] variants =
        [
            s_identity,
            s_identity with { Format = 2 },
            s_identity with { ProtocolGeneration = 2 },
            s_identity with { DeviceListVersion = 2 },
            s_identity with { QemuVersion = "x" },
            s_identity with { MachineType = "x" },
            s_identity with { Accelerator = "kvm" },
            s_identity with { CpuModel = "x" },
            s_identity with { VcpuCount = 1 },
            s_identity with { BaseMemoryMib = 16 },
            s_identity with { MaxMemoryMib = 2_048 },
            s_identity with { RootfsBytes = 1 },
            s_identity with { WorkspaceBytes = 1 },
            s_identity with { KernelSha256 = "x" },
            s_identity with { InitramfsSha256 = "x" },
            s_identity with { KernelArguments = "x" },
        ];

        Assert.Equal(variants.Length, variants.Select(static identity => identity.ComputeKey()).Distinct().Count());
    }

    /// <summary>A manifest of format 1 as it was first written must stay readable: this text is never changed, only added to.</summary>
    [Fact]
    public void Load_ManifestOfFormat1_IsReadAsWrittenThen()
    {
        using var directory = new TemporaryDirectory();
        Save(directory);
        GoldenManifest current = JsonSerializer.Deserialize(
            File.ReadAllBytes(directory.File("manifest.json")), VmmJsonContext.Default.GoldenManifest)!;
        string written = $$"""
            {"identity":{"format":1,"protocolGeneration":1,"deviceListVersion":1,"qemuVersion":"7.2.22","machineType":"pc-q35-7.2",
            "accelerator":"tcg","cpuModel":"max","vcpuCount":2,"baseMemoryMib":8,"maxMemoryMib":1024,"rootfsBytes":1073741824,
            "workspaceBytes":1073741824,"kernelSha256":"{{new string('a', 64)}}","initramfsSha256":"{{new string('b', 64)}}",
            "kernelArguments":"quiet"},"ramBytes":8388608,"ramSha256":"{{current.RamSha256}}","deviceStateBytes":100000,
            "deviceStateSha256":"{{current.DeviceStateSha256}}","createdAt":"2026-11-20T00:00:00+00:00","createdBy":"0.1.0","aFieldOfTheFuture":1}
            """;
        File.WriteAllText(directory.File("manifest.json"), written);

        Load(directory, s_identity).Close();
    }

    private static GoldenImage Load(TemporaryDirectory directory, GoldenIdentity identity) =>
        GoldenStore.Load(directory.Path, identity, identity.ComputeKey(), CancellationToken.None);

    private static void Save(TemporaryDirectory directory)
    {
        byte[] ram = new byte[s_identity.BaseMemoryMib << 20];
        new Random(1).NextBytes(ram.AsSpan(1 << 20, 300_000));
        byte[] state = new byte[100_000];
        new Random(2).NextBytes(state);
        File.WriteAllBytes(directory.File("ram"), ram);
        File.WriteAllBytes(directory.File("device-state"), state);
        using SafeFileHandle saved = File.OpenHandle(directory.File("ram"));
        var manifest = new GoldenManifest
        {
            Identity = s_identity,
            RamBytes = ram.Length,
            RamSha256 = SparseDigest.Compute(saved, ram.Length, null, CancellationToken.None),
            DeviceStateBytes = state.Length,
            DeviceStateSha256 = Convert.ToHexStringLower(SHA256.HashData(state)),
            CreatedAt = DateTimeOffset.UnixEpoch,
            CreatedBy = "test",
        };
        File.WriteAllBytes(
            directory.File("manifest.json"), JsonSerializer.SerializeToUtf8Bytes(manifest, VmmJsonContext.Default.GoldenManifest));
    }
}
