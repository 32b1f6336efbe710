using System.Diagnostics;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Tests;

public sealed class HostPrerequisitesTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("opensandbox-test-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task Check_NothingIsThere_NamesEverythingThatIsMissing()
    {
        HostPrerequisiteReport report = await HostPrerequisites.CheckAsync(Options() with { QemuPath = "/nowhere/qemu" });
        Assert.False(report.IsSatisfied);
        Assert.Equal(["qemu", "assets"], report.Items.Where(static item => item.Status == HostPrerequisiteStatus.Missing && item.Name is not "root").Select(static item => item.Name));
        Assert.Contains("there is no /nowhere/qemu (apt-get install qemu-system-x86)", report.Reason, StringComparison.Ordinal);
        Assert.All(report.Items.Where(static item => item.Status == HostPrerequisiteStatus.Missing), static item => Assert.NotNull(item.Remedy));
    }

    [Fact]
    public async Task Check_QemuIsSomethingElse_IsMissing()
    {
        HostPrerequisiteReport report = await HostPrerequisites.CheckAsync(Options() with { QemuPath = "/bin/echo" });
        HostPrerequisite qemu = report.Items.Single(static item => item.Name == "qemu");
        Assert.Equal((HostPrerequisiteStatus.Missing, "/bin/echo --version: "), (qemu.Status, qemu.Detail[..21]));
    }

    [Fact]
    public async Task Check_StateCannotBeWritten_IsMissingWithTheVariableToSet()
    {
        HostPrerequisiteReport report = await HostPrerequisites.CheckAsync(Options() with { StateDirectory = "/proc/opensandbox" });
        HostPrerequisite state = report.Items.Single(static item => item.Name == "state");
        Assert.Equal(HostPrerequisiteStatus.Missing, state.Status);
        Assert.Contains("OPENSANDBOX_STATE", state.Remedy, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Check_WithoutIsolation_Warns()
    {
        HostPrerequisiteReport report = await HostPrerequisites.CheckAsync(Options() with { Isolation = IsolationLevel.None });
        Assert.Equal(HostPrerequisiteStatus.Warning, report.Items.Single(static item => item.Name == "isolation").Status);
    }

    [Fact]
    public async Task Check_LauncherFails_SaysWhatTheLauncherSaid()
    {
        SandboxHostOptions options = Options();
        foreach (string name in (string[])["vmlinuz", "initramfs.cpio"])
        {
            await File.WriteAllTextAsync(Path.Combine(_directory, name), "x");
        }

        string launcher = Path.Combine(_directory, "launcher");
        await WriteScriptAsync(launcher, "#!/bin/sh\necho 'step clone3: Operation not permitted' >&2\nexit 125\n");

        // Any program that answers like QEMU will do.
        string qemu = Path.Combine(_directory, "qemu");
        await WriteScriptAsync(qemu, "#!/bin/sh\necho 'QEMU emulator version 8.1.2 (made up)'\n");

        HostPrerequisiteReport report = await HostPrerequisites.CheckAsync(options with { QemuPath = qemu });
        HostPrerequisite jail = report.Items.Single(static item => item.Name == "jail");
        Assert.Equal(HostPrerequisiteStatus.Missing, jail.Status);
        Assert.EndsWith("step clone3: Operation not permitted", jail.Detail, StringComparison.Ordinal);
        Assert.Contains("version 8.1.2 (made up)", report.Items.Single(static item => item.Name == "qemu").Detail, StringComparison.Ordinal);
    }

    /// <summary>
    /// Written by another process: a file that this one has had open for writing may still be open in a process that a test beside this one
    /// starts, and then cannot be run.
    /// </summary>
    private static async Task WriteScriptAsync(string path, string text)
    {
        using Process shell = Process.Start(new ProcessStartInfo("sh", ["-c", "cat >\"$0\" && chmod 755 \"$0\"", path]) { RedirectStandardInput = true })!;
        await shell.StandardInput.WriteAsync(text);
        shell.StandardInput.Close();
        await shell.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(100));
        Assert.Equal(0, shell.ExitCode);
    }

    private SandboxHostOptions Options() => new()
    {
        AssetsDirectory = _directory,
        StateDirectory = Path.Combine(_directory, "state"),
        RuntimeDirectory = Path.Combine(_directory, "run"),
    };
}
