using System.Security.Cryptography;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Qemu;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Vmm.Golden;

/// <summary>Decides on the accelerator and gets the golden snapshot that belongs to it.</summary>
internal static class GoldenSelector
{
    /// <summary>The snapshot to use, and why under this accelerator.</summary>
    internal static async Task<(GoldenImage Golden, string Reason)> GetAsync(
        VmmContext context, QemuFacts qemu, CancellationToken cancellationToken)
    {
        var store = new GoldenStore(context);
        string kernel = HashAsset(context.KernelPath);
        string initramfs = HashAsset(context.InitramfsPath);
        return context.Options.Accelerator switch
        {
            AcceleratorChoice.Tcg => (await TcgAsync().ConfigureAwait(false), "TCG was asked for"),
            AcceleratorChoice.Kvm => (await KvmAsync().ConfigureAwait(false), "KVM was asked for"),
            _ => await AutoAsync().ConfigureAwait(false),
        };

        Task<GoldenImage> TcgAsync() => store.GetAsync(Identity(Accelerators.Tcg), context.Options.GoldenBuildTimeout, false, cancellationToken);

        async Task<GoldenImage> KvmAsync()
        {
            const string remedy = "Use SandboxHostOptions.Accelerator = Auto or Tcg, or repair KVM on this host";
            if (Accelerators.WhyNoKvm() is string reason)
            {
                throw new HostPrerequisiteException(reason, remedy);
            }

            bool proven = Accelerators.Recall(context.Options, qemu.Version)?.Accelerator == Accelerators.Kvm;
            try
            {
                GoldenImage golden = await store
                    .GetAsync(Identity(Accelerators.Kvm), context.Options.KvmProbeTimeout, !proven, cancellationToken)
                    .ConfigureAwait(false);
                Accelerators.Remember(context.Options, qemu.Version, Accelerators.Kvm, "a guest boots under KVM here");
                return golden;
            }
            catch (SandboxStartException failure)
            {
                throw new HostPrerequisiteException($"no guest boots under KVM here: {failure.Message}", remedy, failure);
            }
        }

        async Task<(GoldenImage, string)> AutoAsync()
        {
            string? why = Accelerators.WhyNoKvm();
            if (why is null)
            {
                // One process finds out; the others wait for its verdict.
                using FileLock deciding = await FileLock
                    .AcquireAsync(Path.Combine(context.Options.StateDirectory, "accelerator.lock"), cancellationToken)
                    .ConfigureAwait(false);
                AcceleratorVerdict? verdict = Accelerators.Recall(context.Options, qemu.Version);
                if (verdict?.Accelerator != Accelerators.Tcg)
                {
                    try
                    {
                        return (await KvmAsync().ConfigureAwait(false), "a guest boots under KVM here");
                    }
                    catch (HostPrerequisiteException hung) when (hung.InnerException is SandboxStartException { Phase: GoldenBuilder.BootPhase })
                    {
                        verdict = Accelerators.Remember(context.Options, qemu.Version, Accelerators.Tcg, OneLine(hung.InnerException));
                    }
                }

                why = verdict.Reason;
            }

            VmmLog.KvmNotUsed(context.Logger, why);
            return (await TcgAsync().ConfigureAwait(false), why);
        }

        GoldenIdentity Identity(string accelerator) => new()
        {
            Format = GoldenIdentity.CurrentFormat,
            ProtocolGeneration = ProtocolConstants.Generation,
            DeviceListVersion = QemuCommandLine.DeviceListVersion,
            QemuVersion = qemu.Version,
            MachineType = qemu.MachineType,
            Accelerator = accelerator,
            CpuModel = accelerator == Accelerators.Kvm ? $"host ({HostCpuModel()})" : "max,-erms,-fsrm",
            VcpuCount = context.Options.VcpuCount,
            BaseMemoryMib = context.Options.BaseMemoryMib,
            MaxMemoryMib = context.Options.MaxMemoryMib,
            RootfsBytes = VmShape.DefaultRootfsBytes,
            WorkspaceBytes = VmShape.DefaultWorkspaceBytes,
            KernelSha256 = kernel,
            InitramfsSha256 = initramfs,
            KernelArguments = QemuCommandLine.KernelArguments,
        };
    }

    private static string OneLine(Exception failure)
    {
        const int longest = 500;
        string text = string.Join("; ", failure.Message.Split(['\r', '\n'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
        return $"no guest boots under KVM here: {(text.Length > longest ? text[..longest] : text)}";
    }

    private static string HashAsset(string path)
    {
        try
        {
            using FileStream file = File.OpenRead(path);
            return Convert.ToHexStringLower(SHA256.HashData(file));
        }
        catch (Exception missing) when (missing is IOException or UnauthorizedAccessException)
        {
            throw new HostPrerequisiteException(
                $"{path} cannot be read: {missing.Message}",
                "Build the guest's kernel, initramfs and launcher with scripts/build-assets.sh, or set SandboxHostOptions.AssetsDirectory",
                missing);
        }
    }

    /// <summary>Under KVM the guest sees the host's CPU, so a snapshot fits only the same model.</summary>
    private static string HostCpuModel() =>
        File.ReadLines("/proc/cpuinfo").FirstOrDefault(static line => line.StartsWith("model name", StringComparison.Ordinal)) is string line
            ? line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim()
            : "unknown";
}
