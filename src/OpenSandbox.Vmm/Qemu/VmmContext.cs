using Microsoft.Extensions.Logging;
using OpenSandbox.Vmm.Isolation;
using OpenSandbox.Vmm.Processes;

namespace OpenSandbox.Vmm.Qemu;

/// <summary>What every virtual machine of a host shares.</summary>
internal sealed class VmmContext : IDisposable
{
    internal VmmContext(SandboxHostOptions options, ILoggerFactory loggers)
    {
        Options = options;
        Loggers = loggers;
        Logger = loggers.CreateLogger("OpenSandbox.Vmm");
        LauncherPath = Path.Combine(options.AssetsDirectory, "launcher");
        KernelPath = Path.Combine(options.AssetsDirectory, "vmlinuz");
        InitramfsPath = Path.Combine(options.AssetsDirectory, "initramfs.cpio");
        JailRoot = Path.Combine(options.RuntimeDirectory, "root");
        Uids = new UidPool(options.RuntimeDirectory, options.FirstUid, options.MaxSandboxes + options.MaxPooled + 1); // one more for a golden build
        Directory.CreateDirectory(
            JailRoot,
            UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.GroupRead | UnixFileMode.GroupExecute
                | UnixFileMode.OtherRead | UnixFileMode.OtherExecute);

        Cgroups = HostCgroups.Open(options, Logger);

        // Last, because they hold what a constructor that fails would leave behind.
        Memory = new HostMemory();
        Processes = new ProcessThread();
    }

    internal SandboxHostOptions Options { get; }

    internal ILoggerFactory Loggers { get; }

    internal ILogger Logger { get; }

    internal ProcessThread Processes { get; }

    internal HostMemory Memory { get; }

    internal UidPool Uids { get; }

    internal HostCgroups Cgroups { get; }

    /// <summary>The accelerator, once that has been decided.</summary>
    internal string Accelerator { get; set; } = Accelerators.Tcg;

    /// <summary>Whether root's jail can be made here; tried where less would do, otherwise taken for granted.</summary>
    internal bool FullJailWorks { get; set; } = true;

    internal string LauncherPath { get; }

    internal string KernelPath { get; }

    internal string InitramfsPath { get; }

    /// <summary>An empty directory: the launcher mounts each VM's root over it, in the VM's own mount namespace.</summary>
    internal string JailRoot { get; }

    public void Dispose()
    {
        Cgroups.Close();
        Processes.Dispose();
        Memory.Dispose();
    }
}
