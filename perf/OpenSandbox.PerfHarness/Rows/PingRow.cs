using OpenSandbox.PerfHarness.Floor;
using OpenSandbox.PerfHarness.Measuring;
using OpenSandbox.PerfHarness.Processes;
using OpenSandbox.Vmm;

namespace OpenSandbox.PerfHarness.Rows;

/// <summary>P5: a sign of life. Equal VMs, several of each, in turns: no VM can carry two sessions at once.</summary>
internal sealed class PingRow() : Row("P5", "ping round trip", "<= 1.5x")
{
    private const int Machines = 3;
    private const int Burst = 25;

    internal override async Task<IReadOnlyList<Figure>> RunAsync(Bench bench, CancellationToken cancellationToken)
    {
        FloorProgram floor = await bench.GetFloorAsync(Bench.Bare, cancellationToken).ConfigureAwait(false);
        int rounds = (bench.Count(600) + (Machines * Burst) - 1) / (Machines * Burst);
        Series floorTimes = new(), ours = new();
        double floorCpu = 0, oursCpu = 0;
        for (int machine = 0; machine < Machines; machine++)
        {
            await floor.CreateAsync(0, exec: false).ConfigureAwait(false);
            Sandbox sandbox = await bench.CreateAsync(Bench.Bare, cancellationToken).ConfigureAwait(false);
            await using (sandbox.ConfigureAwait(false))
            {
                await Bench.WarmUpAsync(async () => await sandbox.PingAsync(cancellationToken).ConfigureAwait(false)).ConfigureAwait(false);
                for (int round = 0; round < rounds; round++)
                {
                    Bench.Progress($"{Id} machine {machine + 1}/{Machines}, round {round + 1}/{rounds}");
                    double before = await floor.GetCpuAsync().ConfigureAwait(false);
                    floorTimes.AddRange((await floor.PingAsync(0, Bench.Warmups + Burst).ConfigureAwait(false)).Skip(Bench.Warmups));
                    floorCpu += await floor.GetCpuAsync().ConfigureAwait(false) - before;
                    before = CpuTime.OursMilliseconds;
                    for (int i = 0; i < Bench.Warmups + Burst; i++)
                    {
                        double time = (await sandbox.PingAsync(cancellationToken).ConfigureAwait(false)).TotalMicroseconds;
                        if (i >= Bench.Warmups)
                        {
                            ours.Add(time);
                        }
                    }

                    oursCpu += CpuTime.OursMilliseconds - before;
                }
            }

            await floor.KillAsync(0).ConfigureAwait(false);
        }

        int pings = Machines * rounds * (Burst + Bench.Warmups);
        return
        [
            Figure.Compare("round trip", "us", floorTimes, ours, Goal, static (floor, ours) => ours <= floor * 1.5) with
            {
                FloorCpuMilliseconds = floorCpu / pings,
                OursCpuMilliseconds = oursCpu / pings,
            },
        ];
    }
}
