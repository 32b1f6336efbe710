using System.Globalization;

namespace OpenSandbox.Integration.Tests;

[Collection(HostFixture.Collection)]
public sealed class ResizeTests(HostFixture fixture)
{
    // Takes memory, says so, and gives it back when its input ends.
    private const string Holder = "import sys\nb=bytearray(int(sys.argv[1])<<20)\nfor i in range(0,len(b),4096): b[i]=1\nprint('held',flush=True)\nsys.stdin.read()\n";

    [SkippableFact]
    public async Task Resize_UpAndDownAroundAnAllocation_BehavesAsDocumented()
    {
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(new SandboxSpec { MemoryMib = 1_024 }, ExecTests.Deadline());

        SandboxLimits large = await sandbox.ResizeAsync(4_096, cancellationToken: ExecTests.Deadline(120));

        Assert.Equal(4_096, large.MemoryMib);
        Assert.Equal(NinetyPercent(large.GuestMemoryBytes), large.MemoryMaxBytes);
        Assert.Equal(large.GuestMemoryBytes, await MemTotalAsync(sandbox));
        Assert.Equal(100 * fixture.Host.Options.VcpuCount, large.CpuPercent);
        Assert.InRange(await MemTotalAsync(sandbox), 3_900L << 20, 4_096L << 20);
        Assert.Equal(large.MemoryMaxBytes, await NumberAsync(sandbox, "memory.max"));

        SandboxProcess holder = await sandbox.StartAsync(["python3", "-c", Holder, "2048"], cancellationToken: ExecTests.Deadline());
        await using (holder)
        {
            Assert.Equal("held\n", await ReadSomeAsync(holder));

            SandboxMemoryInUseException refused = await Assert.ThrowsAsync<SandboxMemoryInUseException>(
                () => sandbox.ResizeAsync(1_024, cancellationToken: ExecTests.Deadline(120)));
            Assert.InRange(refused.InUseMib, 2_048, 2_300);
            Assert.InRange(refused.ShortfallMib, 2_048 - 922, 2_300 - 800);
            Assert.InRange(refused.NeededMib, 2_304, 2_688);
            Assert.Equal(1_024, refused.RequestedMib);
            Assert.Equal(large with { MemoryInUseBytes = 0 }, sandbox.Limits with { MemoryInUseBytes = 0 });
            Assert.Equal(large.MemoryMaxBytes, await NumberAsync(sandbox, "memory.max"));
            Assert.Equal(SandboxErrorCode.MemoryInUse, refused.Code);
            await holder.CompleteInputAsync(ExecTests.Deadline());
            Assert.Equal(0, (await holder.WaitAsync(ExecTests.Deadline(120))).ExitCode);
        }

        SandboxLimits small = await sandbox.ResizeAsync(1_024, cancellationToken: ExecTests.Deadline(120));

        Assert.Equal(1_024, small.MemoryMib);
        Assert.Equal(100, small.CpuPercent);
        Assert.InRange(await MemTotalAsync(sandbox), 900L << 20, 1_024L << 20);
        Assert.Equal(NinetyPercent(await MemTotalAsync(sandbox)), await NumberAsync(sandbox, "memory.max"));
        ExecResult killed = await sandbox.ExecAsync(["python3", "-c", Holder, "900"], cancellationToken: ExecTests.Deadline(120));
        Assert.True(killed.Exit.OutOfMemory);
    }

    private static long NinetyPercent(long bytes) => bytes / 100 * 90 / 4_096 * 4_096;

    private static async Task<string> ReadSomeAsync(SandboxProcess process)
    {
        byte[] buffer = new byte[100];
        SandboxOutput output = await process.ReadAsync(buffer, ExecTests.Deadline(120));
        return System.Text.Encoding.UTF8.GetString(buffer, 0, output.Count);
    }

    private static async Task<long> MemTotalAsync(Sandbox sandbox)
    {
        string line = (await sandbox.Files.ReadAllTextAsync("/proc/meminfo", ExecTests.Deadline())).Split('\n')[0];
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) << 10;
    }

    private static async Task<long> NumberAsync(Sandbox sandbox, string file) => long.Parse(
        await sandbox.Files.ReadAllTextAsync("/sys/fs/cgroup/sandbox/" + file, ExecTests.Deadline()), CultureInfo.InvariantCulture);
}
