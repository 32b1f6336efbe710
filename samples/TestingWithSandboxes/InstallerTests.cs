using OpenSandbox.Testing;
using OpenSandbox.Vmm;

namespace TestingWithSandboxes;

/// <summary>Tests of something that one would not run on the machine that tests it: here, an installer that changes the system.</summary>
[Collection("sandboxes")]
public sealed class InstallerTests(SandboxFixture sandboxes) : SandboxTest(sandboxes)
{
    private const string Installer = """
        #!/bin/sh
        set -e
        id installed >/dev/null 2>&1 && { echo "already installed" >&2; exit 3; }
        useradd --system installed
        install -D -o installed -m 600 /dev/null /etc/installed/key
        """;

    private static readonly ExecOptions s_asRoot = new() { User = "root" };

    [SkippableFact]
    public async Task Installer_OnAFreshSystem_MakesUserAndKey()
    {
        Sandbox sandbox = await CreateWithInstallerAsync();
        (await sandbox.ExecAsync(["/opt/install"], s_asRoot)).EnsureSuccess();
        SandboxFile key = await sandbox.Files.StatAsync("/etc/installed/key");
        Assert.Equal(0x180, key.Mode);
        Assert.NotEqual(0, key.Uid);
    }

    [SkippableFact]
    public async Task Installer_RunTwice_RefusesTheSecondTime()
    {
        Sandbox sandbox = await CreateWithInstallerAsync();
        (await sandbox.ExecAsync(["/opt/install"], s_asRoot)).EnsureSuccess();
        ExecResult again = await sandbox.ExecAsync(["/opt/install"], s_asRoot);
        Assert.Equal((3, "already installed\n"), (again.ExitCode, again.StandardError));
    }

    private async Task<Sandbox> CreateWithInstallerAsync()
    {
        Sandbox sandbox = await CreateSandboxAsync();
        await sandbox.Files.WriteTextAsync("/opt/install", Installer, new FileWriteOptions { Mode = 0x1ED, User = "root" });
        return sandbox;
    }
}
