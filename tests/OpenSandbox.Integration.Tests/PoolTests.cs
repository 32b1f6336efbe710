using System.Globalization;
using OpenSandbox.Vmm.Pools;

namespace OpenSandbox.Integration.Tests;

/// <summary>Sandboxes from machines that were started before they were asked for: nothing about them may differ but the time they take.</summary>
[Collection(HostFixture.Collection)]
public sealed class PoolTests(HostFixture fixture)
{
    private const int SigKill = 9;
    private const int SigStop = 19;

    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Create_FromThePool_IsASandboxLikeAnyOther(bool hot)
    {
        await using SandboxHost host = await StartAsync(Pool(1, hot));
        await using var server = new LoopbackServer(LoopbackServer.EchoAsync);

        await using Sandbox sandbox = await host.CreateAsync(
            new SandboxSpec
            {
                Hostname = "from-the-pool",
                MemoryMib = 1_024,
                PidsMax = 300,
                EnvironmentVariables = new Dictionary<string, string> { ["GREETING"] = "hello" },
                Metadata = new Dictionary<string, string> { ["team"] = "blue" },
                Egress = EgressPolicy.AllowOnly($"127.0.0.1:{server.Port}"),
            },
            Deadline());

        AssertClaims(host, hot, 1);
        Assert.Equal(
            "hello from-the-pool\n", (await sandbox.ExecAsync(["sh", "-c", "echo $GREETING $(hostname)"], cancellationToken: Deadline())).StandardOutput);
        Assert.InRange(sandbox.GuestMemoryBytes, 900L << 20, 1_024L << 20);
        Assert.Equal(
            "700\n", (await sandbox.ExecAsync(["python3", "-c", "print(len(bytearray(700<<20))>>20)"], cancellationToken: Deadline())).StandardOutput);
        await sandbox.Files.WriteTextAsync("/workspace/file", "content", cancellationToken: Deadline());
        Assert.Equal(
            "content /workspace", (await sandbox.ExecAsync(
                ["sh", "-c", "cat /workspace/file; printf ' '; findmnt -no TARGET -T /workspace/file | tr -d '\\n'"], cancellationToken: Deadline())).StandardOutput);
        Assert.Equal(300, (await sandbox.GetLimitsAsync(Deadline())).PidsMax);
        ExecResult echo = await sandbox.ExecAsync(
            ["python3", "-c", $"import socket; s=socket.create_connection(('192.0.0.1',{server.Port}),60); s.sendall(b'x'*10000); n=0\nwhile n<10000: n+=len(s.recv(65536))\nprint(n)"],
            cancellationToken: Deadline());
        Assert.Equal("10000\n", echo.StandardOutput);
        Assert.Contains("blue", (await sandbox.ExecAsync(["curl", "-sS", "http://169.254.169.254/v1/metadata"], cancellationToken: Deadline())).StandardOutput, StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task CreateAndExec_FromThePool_RunsTheCommand(bool hot)
    {
        await using SandboxHost host = await StartAsync(Pool(1, hot));

        SandboxFirstExec first = await host.CreateAndExecAsync(["sh", "-c", "cat; exit 3"], options: new ExecOptions { StandardInput = "in"u8.ToArray() }, cancellationToken: Deadline());

        await using Sandbox sandbox = first.Sandbox;
        Assert.Equal(("in", 3), (first.Result.StandardOutput, first.Result.ExitCode));
        AssertClaims(host, hot, 1);
    }

    [SkippableFact]
    public async Task Create_AnotherKindOfSandbox_DoesNotComeFromThePool()
    {
        await using SandboxHost host = await StartAsync(Pool(1, hot: true));

        await using Sandbox without = await host.CreateAsync(new SandboxSpec { Image = null }, Deadline());
        await using Sandbox plain = await host.CreateAsync(new SandboxSpec { Workspace = false }, Deadline());

        Assert.Equal(0, (await plain.ExecAsync(["true"], cancellationToken: Deadline())).ExitCode);
        SandboxPoolStatistics statistics = Assert.Single(host.PoolStatistics);
        Assert.Equal((0, 0, 0), (statistics.HotClaims, statistics.Misses, statistics.FailedClaims));
    }

    [SkippableFact]
    public async Task Create_20AtOnceWithAPoolOf4_AllAreThere()
    {
        _ = fixture.HostWithImage;
        await using SandboxHost host = await StartAsync(new SandboxPoolOptions { HotTarget = 2, ParkedTarget = 2 });

        Sandbox[] sandboxes = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => host.CreateAsync(cancellationToken: Deadline())));

        string[] names = await Task.WhenAll(sandboxes.Select(async one => (await one.ExecAsync(["hostname"], cancellationToken: Deadline())).StandardOutput));
        Assert.Equal(sandboxes.Select(static one => one.Id + "\n"), names);
        SandboxPoolStatistics statistics = Assert.Single(host.PoolStatistics);
        Assert.True(statistics.HotClaims + statistics.ParkedClaims >= 4, $"{statistics}");
        Assert.Equal(20, statistics.HotClaims + statistics.ParkedClaims + statistics.Misses);
        Assert.Equal(0, statistics.FailedClaims);
        await Task.WhenAll(sandboxes.Select(static one => one.DisposeAsync().AsTask()));
    }

    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Create_PooledQemuKilled_SucceedsAllTheSame(bool hot)
    {
        await using SandboxHost host = await StartAsync(Pool(2, hot));
        foreach (PooledMachine machine in host.Pools[0].Ready)
        {
            Assert.Equal(0, LifecycleTests.Kill(await machine.Machine.GetQemuPidAsync(Deadline()), SigKill));
        }

        await using Sandbox sandbox = await host.CreateAsync(cancellationToken: Deadline());

        Assert.Equal(0, (await sandbox.ExecAsync(["true"], cancellationToken: Deadline())).ExitCode);
        SandboxPoolStatistics statistics = Assert.Single(host.PoolStatistics);
        Assert.Equal(2, statistics.DroppedAsEnded + statistics.FailedClaims);
    }

    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Create_PooledQemuHangs_SucceedsAfterTheClaimsDeadline(bool hot)
    {
        await using SandboxHost host = await StartAsync(Pool(1, hot) with { ClaimTimeout = TimeSpan.FromMilliseconds(500) });
        Assert.Equal(0, LifecycleTests.Kill(await host.Pools[0].Ready[0].Machine.GetQemuPidAsync(Deadline()), SigStop));

        await using Sandbox sandbox = await host.CreateAsync(cancellationToken: Deadline());

        Assert.Equal(0, (await sandbox.ExecAsync(["true"], cancellationToken: Deadline())).ExitCode);
        Assert.Equal(1, Assert.Single(host.PoolStatistics).FailedClaims);
    }

    [SkippableFact]
    public async Task Create_CancelledWhileTaking_LeavesNothing()
    {
        await using SandboxHost host = await StartAsync(Pool(2, hot: false));
        for (int delay = 0; delay < 40; delay += 4)
        {
            using var cancel = new CancellationTokenSource(TimeSpan.FromMilliseconds(delay));
            try
            {
                await using Sandbox sandbox = await host.CreateAsync(cancellationToken: cancel.Token);
            }
            catch (OperationCanceledException cancelled)
            {
                Assert.Equal(cancel.Token, cancelled.CancellationToken);
            }

            await host.WaitForPoolsAsync(Deadline());
        }

        Assert.Empty(host.List());

        // A launcher and a QEMU for each machine that is ready, and for none else.
        Assert.Equal(2, host.Pools[0].Ready.Count);
        Assert.Equal(2 * 2, host.Pools[0].Ready.Sum(static machine => 1 + Leaks.CountDescendants(machine.Machine.LauncherPid)));
        Assert.Equal(0, Assert.Single(host.PoolStatistics).FailedClaims);
    }

    [SkippableFact]
    public async Task HostDispose_WithFullAndWithFillingPools_LeavesNothing()
    {
        SandboxHost shared = fixture.HostWithImage;
        var both = new SandboxPoolOptions { HotTarget = 2, ParkedTarget = 2 };
        await (await StartAsync(both)).DisposeAsync();
        Leaks before = Leaks.Now(shared);

        SandboxHost full = await StartAsync(both);
        await using (Sandbox taken = await full.CreateAsync(cancellationToken: Deadline()))
        {
            await full.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(30));
        }

        for (int i = 0; i < 3; i++)
        {
            SandboxHost filling = await SandboxHost.StartAsync(HostFixture.Options with { Pools = [both, both with { Image = null }] });
            await filling.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(30));
        }

        Leaks after = Leaks.Now(shared);
        Assert.Equal(before with { Descriptors = after.Descriptors }, after);
        Assert.InRange(after.Descriptors, 0, before.Descriptors + 4);
    }

    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Create_ManyFromThePool_AreUnique(bool hot)
    {
        await using SandboxHost host = await StartAsync(Pool(4, hot));
        var seen = new HashSet<string>(StringComparer.Ordinal);
        for (int i = 0; i < 12; i++)
        {
            await host.WaitForPoolsAsync(Deadline());
            await using Sandbox sandbox = await host.CreateAsync(cancellationToken: Deadline());
            ExecResult result = await sandbox.ExecAsync(
                ["sh", "-c", "hostname; cat /proc/sys/kernel/random/uuid /etc/machine-id; head -c 16 /dev/urandom | od -An -tx1"],
                cancellationToken: Deadline());
            string[] lines = result.StandardOutput.TrimEnd('\n').Split('\n');
            Assert.Equal(4, lines.Length);
            Assert.All(lines, line => Assert.True(seen.Add(line), $"'{line}' twice"));
        }

        AssertClaims(host, hot, 12);
    }

    /// <summary>R2 for a guest whose time stood still, and what it costs meanwhile.</summary>
    [SkippableFact]
    public async Task HotMachine_ThatWaitedForSeconds_IsOnTimeAndHasUsedNoCpu()
    {
        await using SandboxHost host = await StartAsync(Pool(1, hot: true));
        int pid = await host.Pools[0].Ready[0].Machine.GetQemuPidAsync(Deadline());
        long ticks = CpuTicks(pid);

        // The time that passes is what is tested.
        using (var wait = new PeriodicTimer(TimeSpan.FromSeconds(5.5)))
        {
            await wait.WaitForNextTickAsync(Deadline());
        }

        long used = CpuTicks(pid) - ticks;
        await using Sandbox sandbox = await host.CreateAsync(cancellationToken: Deadline());
        Assert.InRange(used, 0, 2);
        AssertClaims(host, hot: true, 1);

        DateTimeOffset before = TimeProvider.System.GetUtcNow();
        ExecResult result = await sandbox.ExecAsync(["date", "+%s%N"], cancellationToken: Deadline());
        DateTimeOffset after = TimeProvider.System.GetUtcNow();
        DateTimeOffset guest = DateTimeOffset.UnixEpoch.AddTicks(long.Parse(result.StandardOutput, CultureInfo.InvariantCulture) / 100);
        TimeSpan error = guest < before ? before - guest : guest > after ? guest - after : TimeSpan.Zero;
        Assert.True(error < TimeSpan.FromMilliseconds(50), $"the guest's clock was {error.TotalMilliseconds} ms off");
    }

    [SkippableFact]
    public async Task PooledMachines_TakeNoSandboxesPlaces()
    {
        _ = fixture.HostWithImage;
        await using SandboxHost host = await SandboxHost.StartAsync(HostFixture.Options with { MaxSandboxes = 1, Pools = [Pool(3, hot: false)] });
        await host.WaitForPoolsAsync(Deadline());

        await using Sandbox sandbox = await host.CreateAsync(cancellationToken: Deadline());

        await Assert.ThrowsAsync<SandboxCapacityException>(() => host.CreateAsync(cancellationToken: Deadline()));
        await host.WaitForPoolsAsync(Deadline());
        Assert.Equal(3, Assert.Single(host.PoolStatistics).Parked);
        Assert.Single(host.List());
    }

    private static SandboxPoolOptions Pool(int count, bool hot) => new() { HotTarget = hot ? count : 0, ParkedTarget = hot ? 0 : count };

    private static CancellationToken Deadline() => ExecTests.Deadline(60);

    /// <summary>A host whose pool is full.</summary>
    private async Task<SandboxHost> StartAsync(SandboxPoolOptions pool)
    {
        _ = fixture.HostWithImage;
        SandboxHost host = await SandboxHost.StartAsync(HostFixture.Options with { Pools = [pool] });
        await host.WaitForPoolsAsync(Deadline());
        SandboxPoolStatistics statistics = Assert.Single(host.PoolStatistics);
        Assert.Equal((pool.HotTarget, pool.ParkedTarget, 0), (statistics.Hot, statistics.Parked, statistics.FailedRefills));
        return host;
    }

    private static void AssertClaims(SandboxHost host, bool hot, int count)
    {
        SandboxPoolStatistics statistics = Assert.Single(host.PoolStatistics);
        Assert.Equal(
            (hot ? count : 0, hot ? 0 : count, 0, 0),
            (statistics.HotClaims, statistics.ParkedClaims, statistics.Misses, statistics.FailedClaims));
    }

    /// <summary>User and system time of a process in clock ticks, 10 ms: fields 14 and 15 of its stat (proc(5)).</summary>
    private static long CpuTicks(int pid)
    {
        string stat = File.ReadAllText($"/proc/{pid}/stat");
        string[] fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
        return long.Parse(fields[11], CultureInfo.InvariantCulture) + long.Parse(fields[12], CultureInfo.InvariantCulture);
    }
}
