using System.Diagnostics;

namespace OpenSandbox.Integration.Tests;

/// <summary>QEMU never outlives the process that started it, however that ends.</summary>
[Collection(HostFixture.Collection)]
public sealed class AttachedTests(HostFixture fixture)
{
    [SkippableTheory]
    [InlineData(9)]
    [InlineData(15)]
    public async Task HostProcess_Killed_TakesItsSandboxesAlong(int signal)
    {
        _ = fixture.HostWithImage;
        string program = Path.Combine(AppContext.BaseDirectory, "..", "..", "OpenSandbox.Cli", new DirectoryInfo(AppContext.BaseDirectory).Name, "opensandbox.dll");
        Assert.True(File.Exists(program), $"{program} is not built");
        string disks = Path.Combine(HostFixture.Options.StateDirectory, "disks");
        var start = new ProcessStartInfo("dotnet", [program, "run", "--", "sh", "-c", "echo running; sleep 1000"])
        {
            RedirectStandardOutput = true,
            UseShellExecute = false,
        };
        using Process process = Process.Start(start)!;
        Assert.Equal("running", await process.StandardOutput.ReadLineAsync(ExecTests.Deadline(60)));
        List<(int Pid, string Start)> descendants = [.. DescendantsOf(process.Id).Select(static pid => (pid, StartTime(pid)))];
        Assert.True(descendants.Count >= 2, "the sandbox's processes were not found");
        long killed = TimeProvider.System.GetTimestamp();

        Assert.Equal(0, LifecycleTests.Kill(process.Id, signal));
        await process.WaitForExitAsync(ExecTests.Deadline(20));

        await ExecTests.UntilAsync(() => Task.FromResult(descendants.All(static one => StartTime(one.Pid) != one.Start)));
        Assert.True(TimeProvider.System.GetElapsedTime(killed) < TimeSpan.FromSeconds(2), "QEMU outlived its host for long");
        Assert.Empty(Directory.EnumerateFileSystemEntries(disks));
    }

    private static IEnumerable<int> DescendantsOf(int pid) => Leaks.ChildrenOf(pid).SelectMany(static child => DescendantsOf(child).Prepend(child));

    /// <summary>The process's start time, by which a number that is used again is told apart; empty when there is none, or a zombie.</summary>
    private static string StartTime(int pid)
    {
        try
        {
            string stat = File.ReadAllText($"/proc/{pid}/stat");
            string[] fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            return fields[0] == "Z" ? "" : fields[19];
        }
        catch (IOException)
        {
            return ""; // it is gone
        }
    }
}
