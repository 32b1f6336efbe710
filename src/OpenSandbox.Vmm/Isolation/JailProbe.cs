using System.Globalization;
using OpenSandbox.Interop;
using OpenSandbox.Vmm.Processes;

namespace OpenSandbox.Vmm.Isolation;

/// <summary>Starts QEMU for its version in a jail, to find out whether that can be made.</summary>
internal static class JailProbe
{
    /// <summary>The launcher's command line.</summary>
    /// <param name="options">The host's.</param>
    /// <param name="mode">The jail.</param>
    /// <param name="required">Controls that must be had.</param>
    internal static List<string> Arguments(SandboxHostOptions options, IsolationLevel mode, IsolationRequirement required)
    {
        List<string> arguments =
        [
            Path.Combine(options.AssetsDirectory, "launcher"), "--root", Path.Combine(options.RuntimeDirectory, "root"),
            "--keep", "2", "--attached", .. Jail.Options(mode, required, null),
        ];
        if (Libc.GetEffectiveUserId() == 0)
        {
            // The uid of no sandbox: theirs are the first ones from here on.
            string uid = (options.FirstUid + options.MaxSandboxes + 1).ToString(CultureInfo.InvariantCulture);
            arguments.AddRange(["--uid", uid, "--gid", uid]);
        }

        arguments.AddRange(["--", options.QemuPath, "--version"]);
        return arguments;
    }

    /// <summary>Whether root's jail can be made here.</summary>
    internal static async Task<bool> FullWorksAsync(SandboxHostOptions options, ProcessThread processes, CancellationToken cancellationToken)
    {
        List<string> arguments = Arguments(options, IsolationLevel.Full, IsolationLevel.Full);
        return (await HostPrerequisites.TryProgramAsync(processes, arguments[0], arguments, options.TimeProvider, cancellationToken)
            .ConfigureAwait(false)).Succeeded;
    }
}
