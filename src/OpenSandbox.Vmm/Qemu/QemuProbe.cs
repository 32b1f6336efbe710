using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;
using OpenSandbox.Vmm.Processes;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Vmm.Qemu;

/// <summary>Finds out which QEMU there is. Asking it costs a process start, so the answer is kept until the binary changes.</summary>
internal static partial class QemuProbe
{
    /// <summary>Oldest version whose device options this library uses.</summary>
    private const int MinimumMajor = 7;

    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(20);

    /// <summary>The facts about the configured QEMU.</summary>
    /// <exception cref="HostPrerequisiteException">There is none, it does not run, or it is too old.</exception>
    internal static async Task<QemuFacts> RunAsync(VmmContext context, CancellationToken cancellationToken)
    {
        string path = context.Options.QemuPath;
        var binary = new FileInfo(path);
        if (!binary.Exists)
        {
            throw new HostPrerequisiteException($"there is no QEMU at {path}", "Install it: apt-get install qemu-system-x86");
        }

        string cache = Path.Combine(context.Options.StateDirectory, "qemu.json");
        QemuFacts? facts = Read(cache);
        if (facts is not null && facts.Path == path && facts.Length == binary.Length && facts.ModifiedTicks == binary.LastWriteTimeUtc.Ticks)
        {
            return facts;
        }

        string text = await AskAsync(context, path, cancellationToken).ConfigureAwait(false);
        Match version = VersionLine().Match(text);
        if (!version.Success)
        {
            throw new HostPrerequisiteException(
                $"{path} --version said '{text}', which is no QEMU version", "Install it anew: apt-get install --reinstall qemu-system-x86");
        }

        facts = new QemuFacts
        {
            Path = path,
            Length = binary.Length,
            ModifiedTicks = binary.LastWriteTimeUtc.Ticks,
            Version = version.Groups["all"].Value,
            Major = int.Parse(version.Groups["major"].Value, CultureInfo.InvariantCulture),
            Minor = int.Parse(version.Groups["minor"].Value, CultureInfo.InvariantCulture),
        };
        if (facts.Major < MinimumMajor)
        {
            throw new HostPrerequisiteException(
                $"{path} is QEMU {facts.Version}; at least version {MinimumMajor} is needed", "Install a newer one");
        }

        DurableFile.Replace(cache, JsonSerializer.SerializeToUtf8Bytes(facts, VmmJsonContext.Default.QemuFacts));
        return facts;
    }

    [GeneratedRegex(@"QEMU emulator version (?<all>(?<major>\d{1,3})\.(?<minor>\d{1,3})[^\n]{0,200})", RegexOptions.NonBacktracking | RegexOptions.ExplicitCapture)]
    private static partial Regex VersionLine();

    private static QemuFacts? Read(string cache)
    {
        try
        {
            return JsonSerializer.Deserialize(File.ReadAllBytes(cache), VmmJsonContext.Default.QemuFacts);
        }
        catch (Exception absent) when (absent is IOException or JsonException)
        {
            // No cache, or none that can be read: QEMU is asked.
            return null;
        }
    }

    private static async Task<string> AskAsync(VmmContext context, string path, CancellationToken cancellationToken)
    {
        (System.Net.Sockets.Socket ours, SafeFileHandle theirs) = SocketPairs.Create();
        var output = new BoundedOutput(ours, 4_096);
        await using ConfiguredAsyncDisposable outputEnd = output.ConfigureAwait(false);
        using SafeFileHandle nothing = Libc.Open("/dev/null", Libc.O_RDWR | Libc.O_CLOEXEC, 0);
        HostProcess process;
        try
        {
            process = await context.Processes
                .StartAsync(new HostProcessStart(path, [path, "--version"], [nothing, theirs, theirs]))
                .ConfigureAwait(false);
        }
        catch (IOException failure)
        {
            throw new HostPrerequisiteException(
                $"{path} cannot be started: {failure.Message}", "Install it: apt-get install qemu-system-x86", failure);
        }
        finally
        {
            theirs.Dispose();
        }

        try
        {
            await output.Ended.WaitAsync(s_limit, context.Options.TimeProvider, cancellationToken).ConfigureAwait(false);
            await process.Exited.WaitAsync(s_limit, context.Options.TimeProvider, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException late)
        {
            throw new SandboxTimeoutException(null, $"{path} --version", s_limit, late);
        }
        finally
        {
            process.Signal(Libc.SIGKILL);
        }

        return output.Tail();
    }
}
