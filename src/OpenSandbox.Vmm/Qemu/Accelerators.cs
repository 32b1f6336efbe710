using System.Runtime.InteropServices;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Vmm.Qemu;

/// <summary>
/// Remembers which accelerator works here. That <c>/dev/kvm</c> exists and opens proves nothing: under nested virtualisation a guest may
/// never leave early boot. Only a guest that booted is proof, and that is found out once per boot of the host.
/// </summary>
internal static class Accelerators
{
    internal const string Kvm = "kvm";
    internal const string Tcg = "tcg";
    private const string KvmDevice = "/dev/kvm";

    /// <summary>Why KVM is out of the question without trying it, or <see langword="null"/>.</summary>
    internal static string? WhyNoKvm()
    {
        using SafeFileHandle device = Libc.Open(KvmDevice, Libc.O_RDWR | Libc.O_CLOEXEC, 0);
        return device.IsInvalid ? $"{KvmDevice} cannot be opened: {Errno.Describe(Marshal.GetLastPInvokeError())}" : null;
    }

    /// <summary>The verdict that holds for this boot of the host and this QEMU, if there is one.</summary>
    internal static AcceleratorVerdict? Recall(SandboxHostOptions options, string qemuVersion)
    {
        try
        {
            AcceleratorVerdict? verdict = JsonSerializer.Deserialize(
                File.ReadAllBytes(VerdictPath(options)), VmmJsonContext.Default.AcceleratorVerdict);
            return verdict is not null && verdict.BootId == ReadBootId() && verdict.QemuVersion == qemuVersion
                && verdict.Accelerator is Kvm or Tcg
                ? verdict
                : null;
        }
        catch (Exception absent) when (absent is IOException or JsonException)
        {
            // No verdict yet, or one that cannot be read: it is found out again.
            return null;
        }
    }

    /// <summary>Keeps a verdict.</summary>
    internal static AcceleratorVerdict Remember(SandboxHostOptions options, string qemuVersion, string accelerator, string reason)
    {
        var verdict = new AcceleratorVerdict
        {
            BootId = ReadBootId(),
            QemuVersion = qemuVersion,
            Accelerator = accelerator,
            Reason = reason,
        };
        DurableFile.Replace(
            VerdictPath(options), JsonSerializer.SerializeToUtf8Bytes(verdict, VmmJsonContext.Default.AcceleratorVerdict));
        return verdict;
    }

    private static string VerdictPath(SandboxHostOptions options) => Path.Combine(options.StateDirectory, "accelerator.json");

    private static string ReadBootId() => File.ReadAllText("/proc/sys/kernel/random/boot_id").Trim();
}
