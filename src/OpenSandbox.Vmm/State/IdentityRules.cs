using OpenSandbox.Vmm.Golden;

namespace OpenSandbox.Vmm.State;

/// <summary>Bounds on a golden snapshot's identity where it is part of a manifest; whether it fits is for whoever loads it.</summary>
internal static class IdentityRules
{
    private const int MaxTextBytes = 4_096;

    internal static void Validate(GoldenIdentity identity, string field)
    {
        ManifestRules.Text(identity.QemuVersion, 0, MaxTextBytes, $"{field}.qemuVersion");
        ManifestRules.Text(identity.MachineType, 0, MaxTextBytes, $"{field}.machineType");
        ManifestRules.Text(identity.Accelerator, 0, MaxTextBytes, $"{field}.accelerator");
        ManifestRules.Text(identity.CpuModel, 0, MaxTextBytes, $"{field}.cpuModel");
        ManifestRules.Text(identity.KernelSha256, 0, MaxTextBytes, $"{field}.kernelSha256");
        ManifestRules.Text(identity.InitramfsSha256, 0, MaxTextBytes, $"{field}.initramfsSha256");
        ManifestRules.Text(identity.KernelArguments, 0, MaxTextBytes, $"{field}.kernelArguments");
    }
}
