using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace OpenSandbox.Integration.Tests;

/// <summary>What stands between QEMU and the host: the hostile stand-in's probes, and the view from outside on a real one.</summary>
[Collection(HostFixture.Collection)]
public sealed class JailTests(HostFixture fixture)
{
    [SkippableFact]
    public async Task HostileStandIn_InPlaceOfQemu_IsRefusedEverything()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "the jail's namespaces and uids need root");
        Skip.IfNot(File.Exists("/usr/bin/gcc"), "gcc is not installed");
        string launcher = Path.Combine(HostFixture.Options.AssetsDirectory, "launcher");
        Skip.IfNot(File.Exists(launcher), HostFixture.MissingPrerequisite);

        var start = new ProcessStartInfo("/bin/bash", [Path.Combine(RepositoryRoot(), "tests", "hostile-vmm", "run.sh"), launcher])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync(ExecTests.Deadline(180));
        string output = await process.StandardOutput.ReadToEndAsync(ExecTests.Deadline(180));
        await process.WaitForExitAsync(ExecTests.Deadline(180));

        Assert.True(process.ExitCode == 0, $"{output}\n{await error}");
    }

    [SkippableFact]
    public async Task Sandbox_SeenFromOutside_IsConfined()
    {
        Skip.IfNot(HostFixture.Options.Isolation.Level == IsolationLevel.Full, "full isolation is not configured");
        await using Sandbox first = await fixture.Host.CreateAsync(new SandboxSpec { Image = null });
        await using Sandbox second = await fixture.Host.CreateAsync(new SandboxSpec { Image = null });
        int pid = await first.Machine.GetQemuPidAsync(ExecTests.Deadline());
        int sibling = await second.Machine.GetQemuPidAsync(ExecTests.Deadline());
        Dictionary<string, string> status = Status(pid);

        Assert.NotEqual(Status(sibling)["Uid"], status["Uid"]);
        Assert.DoesNotContain("\t0\t", $"\t{status["Uid"]}\t{status["Gid"]}\t", StringComparison.Ordinal);
        Assert.Equal("", status["Groups"].Trim());
        foreach (string set in (string[])["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
        {
            Assert.Equal("0000000000000000", status[set]);
        }

        foreach (string task in Directory.EnumerateDirectories($"/proc/{pid}/task"))
        {
            string threads = await File.ReadAllTextAsync(Path.Combine(task, "status"));
            Assert.Contains("NoNewPrivs:\t1", threads, StringComparison.Ordinal);
            Assert.Contains("Seccomp:\t2", threads, StringComparison.Ordinal);
        }

        foreach (string kind in (string[])["mnt", "pid", "net", "ipc", "uts", "cgroup"])
        {
            string ours = File.ResolveLinkTarget($"/proc/self/ns/{kind}", false)!.Name;
            Assert.NotEqual(ours, File.ResolveLinkTarget($"/proc/{pid}/ns/{kind}", false)!.Name);
            Assert.NotEqual(File.ResolveLinkTarget($"/proc/{sibling}/ns/{kind}", false)!.Name, File.ResolveLinkTarget($"/proc/{pid}/ns/{kind}", false)!.Name);
        }

        string[] environment = (await File.ReadAllTextAsync($"/proc/{pid}/environ")).Split('\0', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(["HOME", "LANG", "PATH"], environment.Select(static variable => variable.Split('=')[0]).Order(StringComparer.Ordinal));
        Assert.Empty(Directory.EnumerateFileSystemEntries($"/proc/{pid}/root/tmp"));
        Assert.False(Directory.Exists($"/proc/{pid}/root/root"));
        Assert.False(Directory.Exists($"/proc/{pid}/root/home"));
    }

    private static Dictionary<string, string> Status(int pid) => File.ReadAllLines($"/proc/{pid}/status")
        .Select(static line => line.Split(":\t", 2))
        .Where(static pair => pair.Length == 2)
        .ToDictionary(static pair => pair[0], static pair => pair[1], StringComparer.Ordinal);

    internal static string RepositoryRoot([CallerFilePath] string path = "") =>
        Path.GetFullPath(Path.Combine(Path.GetDirectoryName(path)!, "..", ".."));
}
