using System.Runtime.InteropServices;
using OpenSandbox.Vmm.Processes;

namespace OpenSandbox.Vmm;

/// <summary>Finds out whether a host can run sandboxes, without starting one.</summary>
/// <remarks>Thread-safe.</remarks>
public static partial class HostPrerequisites
{
    /// <summary>Looks at everything that sandboxes need, and at what is worth knowing about the host. Takes some 100 ms.</summary>
    /// <param name="options">The host's options: which directories, which QEMU, which isolation. Default: see <see cref="SandboxHostOptions"/>.</param>
    /// <param name="cancellationToken">Ends programs that were started for a try.</param>
    /// <returns>All findings; nothing that is missing is an exception.</returns>
    /// <remarks>
    /// Files without a name are made in the state and runtime directories, and QEMU is started once with <c>--version</c> in the jail that
    /// sandboxes get. Whether a guest boots under KVM is not tried: that is reported as it was last found out.
    /// </remarks>
    public static async Task<HostPrerequisiteReport> CheckAsync(
        SandboxHostOptions? options = null, CancellationToken cancellationToken = default)
    {
        options ??= new SandboxHostOptions();
        options.Validate();
        using var processes = new ProcessThread();
        List<HostPrerequisite> items =
        [
            CheckPlatform(),
            CheckUser(options),
        ];
        (HostPrerequisite qemu, string? version) = await CheckQemuAsync(options, processes, cancellationToken).ConfigureAwait(false);
        items.Add(qemu);
        HostPrerequisite assets = CheckAssets(options);
        items.Add(assets);
        items.Add(CheckDirectory("state", options.StateDirectory, nameof(SandboxHostOptions.StateDirectory), LeastStateBytes, GoodStateBytes));
        HostPrerequisite runtime = CheckDirectory("runtime", options.RuntimeDirectory, nameof(SandboxHostOptions.RuntimeDirectory), LeastRuntimeBytes, LeastRuntimeBytes);
        items.Add(runtime);
        items.Add(CheckMemfd());
        items.Add(version is null || assets.Status == HostPrerequisiteStatus.Missing || runtime.Status == HostPrerequisiteStatus.Missing
            ? new HostPrerequisite("jail", HostPrerequisiteStatus.Info, "not tried: it needs QEMU, the launcher and the runtime directory")
            : await CheckJailAsync(options, processes, cancellationToken).ConfigureAwait(false));
        items.Add(CheckAccelerator(options, version, out bool translated));
        items.Add(CheckIsolation(options, translated));
        items.Add(CheckCgroups(options));
        items.Add(CheckSaving());
        items.Add(CheckImageTools());
        items.AddRange(CheckSharedHardware());
        return new HostPrerequisiteReport(items);
    }

    private static HostPrerequisite CheckPlatform()
    {
        const int leastMajor = 5, leastMinor = 12; // mount_setattr, which the launcher needs
        string what = $"Linux {Environment.OSVersion.Version} on {RuntimeInformation.OSArchitecture}";
        return RuntimeInformation.OSArchitecture == Architecture.X64 && Environment.OSVersion.Version >= new Version(leastMajor, leastMinor)
            ? new HostPrerequisite("platform", HostPrerequisiteStatus.Ok, what)
            : new HostPrerequisite("platform", HostPrerequisiteStatus.Missing, $"{what}; Linux {leastMajor}.{leastMinor} or newer on x86-64 is needed", "Use Debian 12 or newer on x86-64");
    }

    private static HostPrerequisite CheckUser(SandboxHostOptions options)
    {
        uint user = Interop.Libc.GetEffectiveUserId();
        return user == 0
            ? new HostPrerequisite("root", HostPrerequisiteStatus.Ok, "running as root")
            : options.Isolation.Level != IsolationLevel.Full
                ? new HostPrerequisite("root", HostPrerequisiteStatus.Info, $"running as user {user}: enough for isolation 'rootless', and without isolation")
                : new HostPrerequisite(
                    "root",
                    HostPrerequisiteStatus.Missing,
                    $"running as user {user}; full isolation needs root",
                    "Run as root (sudo), or choose isolation 'rootless'");
    }
}
