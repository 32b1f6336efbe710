using System.Diagnostics;

namespace OpenSandbox.Integration.Tests;

/// <summary>A host that does not run as root, from the golden build to a detached sandbox that the next host takes over.</summary>
[Collection(HostFixture.Collection)]
public sealed class RootlessTests(HostFixture fixture)
{
    private const string User = "54321"; // nobody's

    private static readonly string[] s_steps =
    [
        "start", "create", "exec", "files", "hibernate", "checkpoint", "fork", "restore", "resize", "detach", "release", "adopt", "adopted-hibernate", "delete",
    ];

    [SkippableFact]
    public async Task OrdinaryUser_WithUserNamespaces_HasEverythingButAUidForEachSandbox()
    {
        (int code, string output) = await LiveAsync("rootless", "");

        Assert.True(code == 0, output);
        Assert.Equal(s_steps, Steps(output));
        Assert.All(Reports(output), report =>
        {
            Assert.Equal("Rootless", report.Level);
            Assert.Equal(["OwnUser"], report.Missing.Where(static control => !control.EndsWith("Limit", StringComparison.Ordinal)));
        });
        Assert.Equal(["created", "woken", "forked", "detached", "adopted", "rewoken"], Reports(output).Select(static report => report.What));
    }

    [SkippableFact]
    public async Task OrdinaryUser_WithoutUserNamespaces_IsRefusedOrToldWhatIsMissing()
    {
        (int code, string output) = await LiveAsync("best", "no-namespaces");
        Assert.True(code == 0, output);
        Assert.Equal(s_steps, Steps(output));
        Assert.All(Reports(output), static report =>
        {
            Assert.Equal("None", report.Level);
            Assert.Contains("Namespaces", report.Missing);
            Assert.Contains("OwnRoot", report.Missing);
            Assert.DoesNotContain("FileRules", report.Missing);
            Assert.DoesNotContain("SystemCallFilter", report.Missing);
        });

        (code, output) = await LiveAsync("rootless", "no-namespaces");
        Assert.NotEqual(0, code);
        Assert.Contains("SandboxIsolationException: Namespaces is required", output, StringComparison.Ordinal);
        Assert.Contains("user.max_user_namespaces", output, StringComparison.Ordinal);
        Assert.DoesNotContain("ok create", output, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task OrdinaryUser_WhoRequiresFullIsolation_IsToldThatItNeedsRoot()
    {
        (int code, string output) = await LiveAsync("full", "");

        Assert.NotEqual(0, code);
        Assert.Contains("SandboxIsolationException: OwnUser is required", output, StringComparison.Ordinal);
        Assert.Empty(Steps(output));
    }

    /// <summary>Runs the helper as a user of its own, with directories of its own, which must be empty of everything in the end.</summary>
    private async Task<(int Code, string Output)> LiveAsync(string level, string mode)
    {
        _ = fixture.HostWithImage;
        Skip.IfNot(Environment.IsPrivilegedProcess, "becoming another user needs root");
        Skip.IfNot(File.Exists("/usr/bin/setpriv") && File.Exists("/usr/bin/nsenter"), "util-linux is not installed");
        string script = Path.Combine(JailTests.RepositoryRoot(), "tests", "helpers", "DetachedHost", "as-user.sh");
        string program = Path.Combine(
            AppContext.BaseDirectory, "..", "..", "OpenSandbox.DetachedHost", new DirectoryInfo(AppContext.BaseDirectory).Name, "detached-host.dll");
        Assert.True(File.Exists(program), $"{program} is not built");
        string directory = Directory.CreateTempSubdirectory("opensandbox-rootless-").FullName;
        try
        {
            var start = new ProcessStartInfo("/bin/bash", [script, User, directory, mode, Environment.ProcessPath!, program, "life", level])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
                UseShellExecute = false,
            };
            start.Environment["OPENSANDBOX_ASSETS"] = HostFixture.Options.AssetsDirectory;
            start.Environment["OPENSANDBOX_STATE"] = HostFixture.Options.StateDirectory;
            using Process process = Process.Start(start)!;
            Task<string> error = process.StandardError.ReadToEndAsync(ExecTests.Deadline(300));
            string output = await process.StandardOutput.ReadToEndAsync(ExecTests.Deadline(300));
            output += await error;
            await process.WaitForExitAsync(ExecTests.Deadline(30));
            foreach (string left in (string[])["state/sandboxes", "state/disks", "run/vm"])
            {
                string path = Path.Combine(directory, left);

                // VMs have a folder for each state directory, which stays.
                IEnumerable<string> folders = left != "run/vm" ? [path] : Directory.Exists(path) ? Directory.EnumerateDirectories(path) : [];
                Assert.Empty(folders.Where(folder => Directory.Exists(folder) && process.ExitCode == 0).SelectMany(Directory.EnumerateFileSystemEntries));
            }

            return (process.ExitCode, output);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static IEnumerable<string> Steps(string output) =>
        output.Split('\n').Where(static line => line.StartsWith("ok ", StringComparison.Ordinal)).Select(static line => line[3..]);

    private static IEnumerable<(string What, string Level, string[] Missing)> Reports(string output) => output.Split('\n')
        .Where(static line => line.StartsWith("isolation ", StringComparison.Ordinal))
        .Select(static line => line.Split(' '))
        .Select(static words => (words[1], words[2], words[3].Split(';')));
}
