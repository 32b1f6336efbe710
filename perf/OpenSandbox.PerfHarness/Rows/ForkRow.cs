using System.Diagnostics;
using OpenSandbox.PerfHarness.Floor;
using OpenSandbox.PerfHarness.Measuring;
using OpenSandbox.PerfHarness.Processes;
using OpenSandbox.Vmm;

namespace OpenSandbox.PerfHarness.Rows;

/// <summary>
/// P12: ten forks of a running sandbox at once, a tenth of the whole time for each. The floor starts ten machines side by side and writes
/// into each the pages and the devices of an equal one, which it has taken before: taking them is in our time and not in the floor's.
/// </summary>
internal sealed class ForkRow() : Row("P12", "live fork 1 -> 10, wall per child", "<= 1.2x")
{
    private const int Children = 10;

    internal override async Task<IReadOnlyList<Figure>> RunAsync(Bench bench, CancellationToken cancellationToken) =>
    [
        .. await MeasureAsync(bench, Bench.WithDisks, "image and workspace", goal: true, cancellationToken).ConfigureAwait(false),
        .. await MeasureAsync(bench, Bench.Bare, "no disks", goal: false, cancellationToken).ConfigureAwait(false),
    ];

    private async Task<IReadOnlyList<Figure>> MeasureAsync(Bench bench, SandboxSpec spec, string which, bool goal, CancellationToken cancellationToken)
    {
        FloorProgram floor = await bench.GetFloorAsync(spec, cancellationToken).ConfigureAwait(false);
        int count = bench.Count(30) + Bench.Warmups;
        Series floorEach = new(Bench.Warmups), floorWithCut = new(Bench.Warmups), ours = new(Bench.Warmups);
        Series floorCpu = new(Bench.Warmups), cpu = new(Bench.Warmups);
        for (int i = 0; i < count; i++)
        {
            Bench.Progress($"{Id} {which} {i + 1}/{count}");
            // What a new guest still has to do is over by the time its state is taken.
            await floor.CreateAsync(0, exec: false).ConfigureAwait(false);
            Sandbox parent = await bench.CreateAsync(spec, cancellationToken).ConfigureAwait(false);
            await using (parent.ConfigureAwait(false))
            {
                long start = Stopwatch.GetTimestamp();
                await floor.CutAsync(0, goOn: false).ConfigureAwait(false);
                double cut = Bench.Since(start);
                double cpuBefore = await floor.GetCpuAsync().ConfigureAwait(false);
                double wall = await floor.ReviveAsync(1, Children, FloorFiles.ForkPrefix).ConfigureAwait(false);
                floorCpu.Add((await floor.GetCpuAsync().ConfigureAwait(false) - cpuBefore) / Children);
                floorEach.Add(wall / Children);
                floorWithCut.Add((cut + wall) / Children);
                for (int slot = 0; slot <= Children; slot++)
                {
                    await floor.KillAsync(slot).ConfigureAwait(false);
                }

                cpuBefore = CpuTime.OursMilliseconds;
                start = Stopwatch.GetTimestamp();
                IReadOnlyList<Sandbox> forks = await parent.ForkAsync(Children, cancellationToken: cancellationToken).ConfigureAwait(false);
                ours.Add(Bench.Since(start) / Children);
                cpu.Add((CpuTime.OursMilliseconds - cpuBefore) / Children);
                await Task.WhenAll(forks.Select(static fork => fork.DisposeAsync().AsTask())).ConfigureAwait(false);
            }
        }

        return
        [
            (goal
                ? Figure.Compare($"{which}: one child", "ms", floorEach, ours, Goal, static (floor, ours) => ours <= floor * 1.2)
                : Figure.Compare($"{which}: one child", "ms", floorEach, ours)) with
            {
                FloorCpuMilliseconds = floorCpu.P50,
                OursCpuMilliseconds = cpu.P50,
            },
            Figure.Compare($"{which}: with the floor's own cut", "ms", floorWithCut, ours),
        ];
    }
}
