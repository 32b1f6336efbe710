using System.Text.Json.Serialization;
using OpenSandbox.Vmm.Isolation;

namespace OpenSandbox.Vmm.State;

/// <summary>How to find a detached VM again, and to be sure that it is that one.</summary>
internal sealed record VmRecord
{
    /// <summary>Process of the launcher.</summary>
    [JsonRequired]
    public int LauncherPid { get; init; }

    /// <summary>When it started, clock ticks since boot: with the pid and the boot, it names one process for ever.</summary>
    [JsonRequired]
    public long LauncherStartTicks { get; init; }

    /// <summary>Process of QEMU.</summary>
    [JsonRequired]
    public int QemuPid { get; init; }

    /// <summary>When it started, clock ticks since boot.</summary>
    [JsonRequired]
    public long QemuStartTicks { get; init; }

    /// <summary>The boot of this machine that it runs in, as in <c>/proc/sys/kernel/random/boot_id</c>.</summary>
    public required string BootId { get; init; }

    /// <summary>What its command line has that no other has: 16 to 64 hexadecimal digits.</summary>
    public required string Nonce { get; init; }

    /// <summary>The uid that it runs under.</summary>
    [JsonRequired]
    public int Uid { get; init; }

    /// <summary>Where its sockets are.</summary>
    public required string RuntimeDirectory { get; init; }

    /// <summary>How it is confined.</summary>
    public VmConfinement? Confinement { get; init; }

    internal void Validate(string field)
    {
        ManifestRules.Require(Confinement?.FindFault() is null, $"{field}.confinement", Confinement?.FindFault() ?? "");
        ManifestRules.Range(LauncherPid, 1, int.MaxValue, $"{field}.launcherPid");
        ManifestRules.Range(LauncherStartTicks, 0, long.MaxValue, $"{field}.launcherStartTicks");
        ManifestRules.Range(QemuPid, 1, int.MaxValue, $"{field}.qemuPid");
        ManifestRules.Range(QemuStartTicks, 0, long.MaxValue, $"{field}.qemuStartTicks");
        ManifestRules.Require(Guid.TryParseExact(BootId, "D", out _), $"{field}.bootId", "it is not the id of a boot");
        ManifestRules.Require(
            Nonce.Length is >= 16 and <= 64 && Nonce.All(char.IsAsciiHexDigitLower), $"{field}.nonce", "it is not 16 to 64 hexadecimal digits");
        ManifestRules.Range(Uid, 0, int.MaxValue, $"{field}.uid");
        ManifestRules.Text(RuntimeDirectory, 1, 4_096, $"{field}.runtimeDirectory");
        ManifestRules.Require(
            RuntimeDirectory[0] == '/' && !RuntimeDirectory.Contains('\0', StringComparison.Ordinal)
                && !RuntimeDirectory.Split('/').Contains("..", StringComparer.Ordinal),
            $"{field}.runtimeDirectory",
            "it is not an absolute path without '..'");
    }
}
