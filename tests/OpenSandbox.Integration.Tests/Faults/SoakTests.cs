using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using OpenSandbox.Vmm.State;
using Xunit.Abstractions;

namespace OpenSandbox.Integration.Tests.Faults;

/// <summary>
/// R11: everything that can be done with sandboxes, mixed, four at a time. <c>OPENSANDBOX_SOAK_SECONDS</c> says for how long.
/// </summary>
[Collection(HostFixture.Collection)]
[Trait("Category", "Faults")]
public sealed class SoakTests(HostFixture fixture, ITestOutputHelper output)
{
    private const int AtOnce = 4;
    private const long MiB = 1 << 20;

    private static readonly TimeSpan s_duration = TimeSpan.FromSeconds(
        int.TryParse(Environment.GetEnvironmentVariable("OPENSANDBOX_SOAK_SECONDS"), CultureInfo.InvariantCulture, out int seconds) ? seconds
        : Environment.GetEnvironmentVariable("OPENSANDBOX_TEST_CASES") is { Length: > 0 } ? 600
        : 20);

    [SkippableFact]
    public async Task Everything_AtOnceForAWhile_LeavesNothingAndTakesNoMoreMemory()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        await RoundAsync(host, new Random(0), new ConcurrentDictionary<string, int>(), 0); // what is made once, and kept, has been made
        long begun = Stopwatch.GetTimestamp();
        var before = Leaks.Now(host);
        var memory = new ConcurrentQueue<(double Seconds, long Bytes)>();
        var done = new ConcurrentDictionary<string, int>(StringComparer.Ordinal);
        int seed = Environment.TickCount;
        await Task.WhenAll(Enumerable.Range(0, AtOnce).Select(worker => Task.Run(async () =>
        {
            var random = new Random(seed + worker);
            for (int round = 0; Stopwatch.GetElapsedTime(begun) < s_duration; round++)
            {
                await RoundAsync(host, random, done, round);
                if (worker == 0)
                {
                    GC.Collect();
                    memory.Enqueue((Stopwatch.GetElapsedTime(begun).TotalSeconds, ResidentBytes()));
                }
            }
        })));

        // Nothing is left, in this process and on disk.
        Assert.Empty(host.List());
        Assert.Empty((await host.RecoverAsync(Deadline())).Problems);
        using (StateLease alone = await host.Store.EnterExclusiveAsync(Deadline()))
        {
            Assert.Empty(FaultLedger.FindLeaks(host));
        }

        Assert.Empty(FaultLedger.OwnProcesses(host.Options.FirstUid));
        Assert.Empty(Directory.GetFileSystemEntries(state.Layers));
        var after = Leaks.Now(host);
        Assert.True(
            after.Children <= before.Children && after.UidLocksHeld <= before.UidLocksHeld && after.Descriptors <= before.Descriptors + 8,
            $"{before} became {after}, seed {seed}");

        // The first third is for the heap to find its size.
        (double Seconds, long Bytes)[] late = [.. memory.Where(sample => sample.Seconds > s_duration.TotalSeconds / 3)];
        double slope = Slope(late) * 60 / MiB;
        long growth = late.Length < 2 ? 0 : (late[^1].Bytes - late[0].Bytes) / MiB;
        output.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{s_duration.TotalSeconds:0} s, {string.Join(", ", done.OrderBy(static entry => entry.Key).Select(static entry => $"{entry.Value} {entry.Key}"))}; 0 leaks; resident memory {slope:0.0} MiB/min; seed {seed}"));
        Assert.True(growth < 64, $"resident memory grew by {growth} MiB in two thirds of the time, seed {seed}");
        if (s_duration >= TimeSpan.FromMinutes(5))
        {
            Assert.True(slope < 2, $"resident memory grows by {slope} MiB a minute, seed {seed}");
        }
    }

    /// <summary>One sandbox's life: a few things in any order, each with what it must find afterwards.</summary>
    private static async Task RoundAsync(SandboxHost host, Random random, ConcurrentDictionary<string, int> done, int round)
    {
        Sandbox sandbox = await host.CreateAsync(
            new SandboxSpec { Lifetime = random.Next(2) == 0 ? SandboxLifetime.Attached : SandboxLifetime.Detached }, Deadline());
        Count("create");
        var checkpoints = new List<string>();
        string expected = $"{round}\n";
        await sandbox.ExecAsync($"echo {round} > /workspace/file; echo {round} > /dev/shm/file", cancellationToken: Deadline());
        for (int step = 0; step < 4; step++)
        {
            switch (random.Next(5))
            {
                case 0:
                    await sandbox.HibernateAsync(Deadline());
                    Assert.True((await sandbox.WakeAsync(new WakeOptions { RequireMemory = true }, Deadline())).MemoryRestored);
                    Count("hibernate and wake");
                    break;
                case 1:
                    checkpoints.Add((await sandbox.CheckpointAsync(cancellationToken: Deadline())).Id);
                    Count("checkpoint");
                    break;
                case 2:
                    foreach (Sandbox fork in await sandbox.ForkAsync(1 + random.Next(2), cancellationToken: Deadline()))
                    {
                        await CheckAsync(fork);
                        await fork.DeleteAsync(Deadline());
                        Count("fork");
                    }

                    break;
                case 3 when checkpoints.Count > 0:
                    Assert.True((await sandbox.RestoreAsync(checkpoints[^1], cancellationToken: Deadline())).MemoryRestored);
                    Count("restore");
                    break;
                default:
                    await sandbox.ExecAsync("head -c 1000000 /dev/urandom > /workspace/more; sync", cancellationToken: Deadline());
                    Count("exec");
                    break;
            }

            await CheckAsync(sandbox);
        }

        await sandbox.DeleteAsync(Deadline());
        foreach (string checkpoint in checkpoints)
        {
            Assert.True(await host.DeleteCheckpointAsync(checkpoint, Deadline()));
        }

        Count("destroy");

        async Task CheckAsync(Sandbox one) => Assert.Equal(
            expected + expected, (await one.ExecAsync("cat /workspace/file /dev/shm/file", cancellationToken: Deadline())).StandardOutput);

        void Count(string what) => done.AddOrUpdate(what, 1, static (_, before) => before + 1);
    }

    /// <summary>Bytes per second, by least squares.</summary>
    private static double Slope((double Seconds, long Bytes)[] samples)
    {
        if (samples.Length < 3)
        {
            return 0;
        }

        double meanTime = samples.Average(static sample => sample.Seconds), meanBytes = samples.Average(static sample => sample.Bytes);
        double over = samples.Sum(sample => (sample.Seconds - meanTime) * (sample.Bytes - meanBytes));
        return over / samples.Sum(sample => (sample.Seconds - meanTime) * (sample.Seconds - meanTime));
    }

    private static long ResidentBytes() =>
        long.Parse(File.ReadAllText("/proc/self/statm").Split(' ')[1], CultureInfo.InvariantCulture) * Environment.SystemPageSize;

    private static CancellationToken Deadline(int seconds = 120) => ExecTests.Deadline(seconds);
}
