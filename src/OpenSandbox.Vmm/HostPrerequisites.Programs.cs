using System.Globalization;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;
using OpenSandbox.Vmm.Isolation;
using OpenSandbox.Vmm.Processes;

namespace OpenSandbox.Vmm;

/// <summary>The part that starts programs for a try.</summary>
public static partial class HostPrerequisites
{
    private const string QemuRemedy = "apt-get install qemu-system-x86";
    private const string AssetsRemedy = "scripts/build-assets.sh, or set OPENSANDBOX_ASSETS (SandboxHostOptions.AssetsDirectory)";
    private const int LeastQemuMajor = 7;

    private static readonly TimeSpan s_programLimit = TimeSpan.FromSeconds(20);

    [GeneratedRegex(@"QEMU emulator version (?<major>\d{1,3})\.[^\n]{0,200}", RegexOptions.NonBacktracking | RegexOptions.ExplicitCapture)]
    private static partial Regex QemuVersionLine();

    private static async Task<(HostPrerequisite Item, string? Version)> CheckQemuAsync(
        SandboxHostOptions options, ProcessThread processes, CancellationToken cancellationToken)
    {
        if (!File.Exists(options.QemuPath))
        {
            return (new HostPrerequisite("qemu", HostPrerequisiteStatus.Missing, $"there is no {options.QemuPath}", QemuRemedy), null);
        }

        ProgramEnd end = await TryProgramAsync(processes, options.QemuPath, [options.QemuPath, "--version"], options.TimeProvider, cancellationToken)
            .ConfigureAwait(false);
        Match line = QemuVersionLine().Match(end.Output);
        if (!end.Succeeded || !line.Success)
        {
            return (new HostPrerequisite(
                "qemu", HostPrerequisiteStatus.Missing, $"{options.QemuPath} --version: {end.Describe()}", "apt-get install --reinstall qemu-system-x86"), null);
        }

        string version = line.Value["QEMU emulator version ".Length..];
        return int.Parse(line.Groups["major"].ValueSpan, CultureInfo.InvariantCulture) >= LeastQemuMajor
            ? (new HostPrerequisite("qemu", HostPrerequisiteStatus.Ok, $"{options.QemuPath}, version {version}"), version)
            : (new HostPrerequisite("qemu", HostPrerequisiteStatus.Missing, $"version {version}; at least {LeastQemuMajor} is needed", QemuRemedy), null);
    }

    private static HostPrerequisite CheckAssets(SandboxHostOptions options)
    {
        const UnixFileMode anyExecute = UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;
        var problems = new List<string>();
        foreach (string name in (ReadOnlySpan<string>)["vmlinuz", "initramfs.cpio", "launcher"])
        {
            var file = new FileInfo(Path.Combine(options.AssetsDirectory, name));
            if (!file.Exists || file.Length == 0)
            {
                problems.Add($"{name} is {(file.Exists ? "empty" : "missing")}");
            }
            else if (name == "launcher" && (file.UnixFileMode & anyExecute) == UnixFileMode.None)
            {
                problems.Add("launcher is not executable");
            }
        }

        return problems.Count == 0
            ? new HostPrerequisite("assets", HostPrerequisiteStatus.Ok, $"kernel, initramfs and launcher in {options.AssetsDirectory}")
            : new HostPrerequisite("assets", HostPrerequisiteStatus.Missing, $"{string.Join(", ", problems)} in {options.AssetsDirectory}", AssetsRemedy);
    }

    /// <summary>Starts QEMU for its version in the jail that sandboxes get: namespaces, root, uid, seccomp and all.</summary>
    private static async Task<HostPrerequisite> CheckJailAsync(
        SandboxHostOptions options, ProcessThread processes, CancellationToken cancellationToken)
    {
        bool isRoot = Libc.GetEffectiveUserId() == 0;
        IsolationLevel mode = Jail.ModeOf(options.Isolation, isRoot, fullWorks: true);
        ProgramEnd end;
        try
        {
            Directory.CreateDirectory(Path.Combine(options.RuntimeDirectory, "root"));
            List<string> arguments = JailProbe.Arguments(options, mode, options.Isolation);
            end = await TryProgramAsync(processes, arguments[0], arguments, options.TimeProvider, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            end = new ProgramEnd(false, failure.Message);
        }

        string what = mode switch
        {
            IsolationLevel.Full => "namespaces, an empty root, a uid of its own and a seccomp filter",
            IsolationLevel.Rootless => "namespaces through a user namespace, an empty root, Landlock and a seccomp filter",
            _ => "Landlock, a seccomp filter and limits",
        };
        return end.Succeeded
            ? new HostPrerequisite("jail", HostPrerequisiteStatus.Ok, $"QEMU starts in it: {what}")
            : new HostPrerequisite(
                "jail",
                options.Isolation.Level is null ? HostPrerequisiteStatus.Warning : HostPrerequisiteStatus.Missing,
                $"QEMU does not start in it ({what}): {end.Describe()}",
                isRoot
                    ? "In a container, give it CAP_SYS_ADMIN and allow mounts and namespaces; otherwise choose isolation 'none' for code that you trust"
                    : Jail.RemedyOf(IsolationControl.Namespaces));
    }

    /// <summary>Runs a program with no input to its end, and keeps the end of its output.</summary>
    internal static async Task<ProgramEnd> TryProgramAsync(
        ProcessThread processes, string path, IReadOnlyList<string> arguments, TimeProvider time, CancellationToken cancellationToken)
    {
        const int keptBytes = 4_096;
        (Socket ours, SafeFileHandle theirs) = SocketPairs.Create();
        var output = new BoundedOutput(ours, keptBytes);
        await using ConfiguredAsyncDisposable outputEnd = output.ConfigureAwait(false);
        using SafeFileHandle nothing = Libc.Open("/dev/null", Libc.O_RDWR | Libc.O_CLOEXEC, 0);
        HostProcess process;
        try
        {
            process = await processes.StartAsync(new HostProcessStart(path, arguments, [nothing, theirs, theirs])).ConfigureAwait(false);
        }
        catch (IOException failure)
        {
            return new ProgramEnd(false, failure.Message);
        }
        finally
        {
            theirs.Dispose();
        }

        try
        {
            HostProcessExit exit = await process.Exited.WaitAsync(s_programLimit, time, cancellationToken).ConfigureAwait(false);
            await output.Ended.WaitAsync(s_programLimit, time, cancellationToken).ConfigureAwait(false);
            return new ProgramEnd(exit.ExitCode == 0, output.Tail().Length > 0 ? output.Tail() : $"{exit}");
        }
        catch (TimeoutException)
        {
            return new ProgramEnd(false, $"it did not end within {s_programLimit.TotalSeconds} s");
        }
        finally
        {
            // The launcher takes what it started with it.
            process.Signal(Libc.SIGTERM);
        }
    }

    internal readonly record struct ProgramEnd(bool Succeeded, string Output)
    {
        /// <summary>The last line, which says why.</summary>
        internal string Describe() => Output.TrimEnd().Split('\n')[^1];
    }
}
