using System.Diagnostics;
using OpenSandbox.PerfHarness.Floor;
using OpenSandbox.PerfHarness.Measuring;
using OpenSandbox.PerfHarness.Processes;
using OpenSandbox.Vmm;
using OpenSandbox.Vmm.Pools;

namespace OpenSandbox.PerfHarness.Rows;

/// <summary>
/// P3 and P4: a sandbox made of a machine that was started before. The floor program has brought an equal machine just as far; it lets the
/// guest run, sends the same resume message and awaits its result. Pools are refilled outside the time.
/// </summary>
/// <param name="id">As in the specification.</param>
/// <param name="title">What is measured.</param>
/// <param name="goal">As in the specification.</param>
/// <param name="tier">How far the machine has been brought.</param>
/// <param name="limit">Largest ratio that holds.</param>
internal sealed class PooledCreateRow(string id, string title, string goal, PoolTier tier, double limit) : Row(id, title, goal)
{
    // The floor program's uids begin above those of the first host, and this one's in between.
    private const int UidDistance = 16_384;

    internal override async Task<IReadOnlyList<Figure>> RunAsync(Bench bench, CancellationToken cancellationToken) =>
    [
        await MeasureAsync(bench, Bench.Bare, "no disks", holds: true, cancellationToken).ConfigureAwait(false),
        await MeasureAsync(bench, Bench.WithDisks, "image and workspace", holds: false, cancellationToken).ConfigureAwait(false),
    ];

    private async Task<Figure> MeasureAsync(Bench bench, SandboxSpec spec, string which, bool holds, CancellationToken cancellationToken)
    {
        FloorProgram floor = await bench.GetFloorAsync(spec, cancellationToken).ConfigureAwait(false);
        int count = bench.Count(30) + Bench.Warmups;
        Series floorTimes = new(Bench.Warmups), ours = new(Bench.Warmups), floorCpu = new(Bench.Warmups), cpu = new(Bench.Warmups);
        var pool = new SandboxPoolOptions
        {
            Image = spec.Image,
            HotTarget = tier == PoolTier.Hot ? 1 : 0,
            ParkedTarget = tier == PoolTier.Parked ? 1 : 0,
        };
        SandboxHostOptions options = bench.Host.Options with { Pools = [pool], FirstUid = bench.Host.Options.FirstUid + UidDistance };
        SandboxHost host = await SandboxHost.StartAsync(options, cancellationToken: cancellationToken).ConfigureAwait(false);
        await using (host.ConfigureAwait(false))
        {
            for (int i = 0; i < count; i++)
            {
                Bench.Progress($"{Id} {which} {i + 1}/{count}");
                await floor.ParkAsync(0, tier == PoolTier.Hot).ConfigureAwait(false);
                await host.WaitForPoolsAsync(cancellationToken).ConfigureAwait(false);
                double cpuBefore = await floor.GetCpuAsync().ConfigureAwait(false);
                floorTimes.Add(await floor.ClaimAsync(0).ConfigureAwait(false));
                floorCpu.Add(await floor.GetCpuAsync().ConfigureAwait(false) - cpuBefore);
                await floor.KillAsync(0).ConfigureAwait(false);

                cpuBefore = CpuTime.OursMilliseconds;
                long start = Stopwatch.GetTimestamp();
                Sandbox sandbox = await host.CreateAsync(spec, cancellationToken).ConfigureAwait(false);
                ours.Add(Bench.Since(start));
                cpu.Add(CpuTime.OursMilliseconds - cpuBefore);
                await sandbox.DisposeAsync().ConfigureAwait(false);
            }

            SandboxPoolStatistics served = host.PoolStatistics[0];
            long claims = tier == PoolTier.Hot ? served.HotClaims : served.ParkedClaims;
            if (claims != count)
            {
                throw new InvalidDataException($"the pool served {claims} of {count} creates");
            }
        }

        return (holds
            ? Figure.Compare($"{which}: create", "ms", floorTimes, ours, Goal, (floor, ours) => ours <= floor * limit)
            : Figure.Compare($"{which}: create", "ms", floorTimes, ours)) with
        {
            FloorCpuMilliseconds = floorCpu.P50,
            OursCpuMilliseconds = cpu.P50,
        };
    }
}
