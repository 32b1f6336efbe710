using System.Diagnostics;
using OpenSandbox.PerfHarness.Floor;
using OpenSandbox.PerfHarness.Measuring;
using OpenSandbox.PerfHarness.Processes;
using OpenSandbox.Vmm;

namespace OpenSandbox.PerfHarness.Rows;

/// <summary>P10: many sandboxes, each made and ended, so many at a time.</summary>
internal sealed class ThroughputRow() : Row("P10", "creates per second at concurrency nproc and 4 x nproc", ">= 0.90x; p99/p50 <= 3")
{
    private const int Rounds = 5;

    internal override async Task<IReadOnlyList<Figure>> RunAsync(Bench bench, CancellationToken cancellationToken)
    {
        FloorProgram floor = await bench.GetFloorAsync(Bench.Bare, cancellationToken).ConfigureAwait(false);
        IReadOnlyList<Figure> few = await MeasureAsync(bench, floor, Environment.ProcessorCount, cancellationToken).ConfigureAwait(false);
        IReadOnlyList<Figure> many = await MeasureAsync(bench, floor, 4 * Environment.ProcessorCount, cancellationToken).ConfigureAwait(false);
        return [.. few, .. many];
    }

    private static async Task<IReadOnlyList<Figure>> MeasureAsync(
        Bench bench, FloorProgram floor, int concurrency, CancellationToken cancellationToken)
    {
        int total = Math.Max(bench.Count(30), 4 * concurrency);
        Series floorRate = new(), rate = new(), floorTimes = new(), times = new();
        double floorCpu = 0, cpu = 0;
        for (int round = 0; round <= Rounds; round++)
        {
            Bench.Progress($"P10 at {concurrency}, round {round}/{Rounds}");
            double before = await floor.GetCpuAsync().ConfigureAwait(false);
            (double wall, double[] each) = await floor.CreateManyAsync(concurrency, total).ConfigureAwait(false);
            double spent = await floor.GetCpuAsync().ConfigureAwait(false) - before;
            before = CpuTime.OursMilliseconds;
            (double ourWall, double[] ourEach) = await CreateManyAsync(bench.Host, concurrency, total, cancellationToken).ConfigureAwait(false);
            double ourSpent = CpuTime.OursMilliseconds - before;
            if (round == 0)
            {
                continue; // the warm-up
            }

            floorRate.Add(total / (wall / 1e3));
            rate.Add(total / (ourWall / 1e3));
            floorTimes.AddRange(each);
            times.AddRange(ourEach);
            floorCpu += spent;
            cpu += ourSpent;
        }

        double spread = times.P99 / times.P50;
        return
        [
            Figure.Compare($"creates per second, {concurrency} at a time", "1/s", floorRate, rate, ">= 0.90x", static (floor, ours) => ours >= floor * 0.90) with
            {
                FloorCpuMilliseconds = floorCpu / (Rounds * total),
                OursCpuMilliseconds = cpu / (Rounds * total),
            },
            new Figure
            {
                Name = $"p99/p50 of one create, {concurrency} at a time",
                Unit = "x",
                Floor = floorTimes.P99 / floorTimes.P50,
                Ours = spread,
                Goal = "<= 3",
                Holds = spread <= 3,
            },
            Figure.Compare($"one create, {concurrency} at a time", "ms", floorTimes, times),
        ];
    }

    private static async Task<(double Wall, double[] Each)> CreateManyAsync(
        SandboxHost host, int concurrency, int total, CancellationToken cancellationToken)
    {
        double[] times = new double[total];
        int next = -1;
        long start = Stopwatch.GetTimestamp();
        await Task.WhenAll(Enumerable.Range(0, concurrency).Select(_ => Task.Run(WorkAsync, cancellationToken))).ConfigureAwait(false);
        return (Bench.Since(start), times);

        async Task WorkAsync()
        {
            int index;
            while ((index = Interlocked.Increment(ref next)) < total)
            {
                long begun = Stopwatch.GetTimestamp();
                Sandbox sandbox = await host.CreateAsync(Bench.Bare, cancellationToken).ConfigureAwait(false);
                times[index] = Bench.Since(begun);
                await sandbox.DisposeAsync().ConfigureAwait(false);
            }
        }
    }
}
