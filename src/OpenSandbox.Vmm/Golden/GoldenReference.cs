using OpenSandbox.Vmm.Qemu;

namespace OpenSandbox.Vmm.Golden;

/// <summary>Which golden snapshot a machine's memory is a copy of. It need not be loaded.</summary>
/// <param name="Key">Its key.</param>
/// <param name="Identity">What the key is the digest of.</param>
/// <param name="RamSha256">Digest of its RAM: one that was lost and built again has the same key and another content.</param>
internal sealed record GoldenReference(string Key, GoldenIdentity Identity, string RamSha256)
{
    /// <summary>The machine that it belongs to.</summary>
    internal VmShape Shape { get; } = new(
        Identity.MachineType,
        Identity.Accelerator,
        Identity.VcpuCount,
        Identity.BaseMemoryMib,
        Identity.MaxMemoryMib,
        Identity.RootfsBytes,
        Identity.WorkspaceBytes);

    internal static GoldenReference To(GoldenImage golden) => new(golden.Key, golden.Manifest.Identity, golden.Manifest.RamSha256);
}
