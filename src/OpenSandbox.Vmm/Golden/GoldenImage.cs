using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;
using OpenSandbox.Vmm.Qemu;

namespace OpenSandbox.Vmm.Golden;

/// <summary>
/// A golden snapshot, loaded: kernel, initramfs and agent booted once, as device state and RAM. Every sandbox starts as a copy of it. No
/// disk is mounted in it, so that one serves every image.
/// </summary>
/// <remarks>Immutable and thread-safe. Owned by the <see cref="SandboxHost"/>.</remarks>
public sealed class GoldenImage
{
    private readonly SafeFileHandle _deviceState;

    internal GoldenImage(string key, GoldenManifest manifest, RamTemplate ram, SafeFileHandle deviceState)
    {
        Key = key;
        Manifest = manifest;
        Ram = ram;
        _deviceState = deviceState;
    }

    /// <summary>SHA-256 of the identity, as 64 hexadecimal digits.</summary>
    public string Key { get; }

    /// <summary>What it was made from, and the digests of its files.</summary>
    public GoldenManifest Manifest { get; }

    internal RamTemplate Ram { get; }

    /// <summary>The machine that its state belongs to.</summary>
    internal VmShape Shape => GoldenReference.To(this).Shape;

    /// <summary>Opens the device state with a file position of its own, because QEMU reads it from a shared descriptor sequentially.</summary>
    internal SafeFileHandle OpenDeviceState()
    {
        SafeFileHandle file = Libc.Open($"/proc/self/fd/{_deviceState.DangerousGetHandle()}", Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
        return file.IsInvalid ? throw Errno.LastError("open the golden snapshot's device state") : file;
    }

    /// <summary>Gives the RAM back once no sandbox maps it any more.</summary>
    internal void Close()
    {
        Ram.Dispose();
        _deviceState.Dispose();
    }
}
