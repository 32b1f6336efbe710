using System.Diagnostics;
using OpenSandbox.PerfHarness.Floor;
using OpenSandbox.PerfHarness.Measuring;
using OpenSandbox.PerfHarness.Processes;
using OpenSandbox.Vmm;

namespace OpenSandbox.PerfHarness.Rows;

/// <summary>
/// P6: one command, the image's <c>/bin/true</c>. The floor is what the agent says the very same command took, plus a ping of the floor
/// program's. The same for the static one of a few instructions, which shows what the agent adds, is told beside it.
/// </summary>
internal sealed class ExecRow() : Row("P6", "exec /bin/true", "<= 1.15x")
{
    private const int Pings = 5;
    private const int WarmupExecs = 100;

    internal override async Task<IReadOnlyList<Figure>> RunAsync(Bench bench, CancellationToken cancellationToken) =>
    [
        .. await MeasureAsync(bench, Bench.WithDisks, "the image's", goal: true, cancellationToken).ConfigureAwait(false),
        .. await MeasureAsync(bench, Bench.Bare, "static", goal: false, cancellationToken).ConfigureAwait(false),
    ];

    private async Task<IReadOnlyList<Figure>> MeasureAsync(
        Bench bench, SandboxSpec spec, string which, bool goal, CancellationToken cancellationToken)
    {
        FloorProgram floor = await bench.GetFloorAsync(spec, cancellationToken).ConfigureAwait(false);
        await floor.CreateAsync(0, exec: false).ConfigureAwait(false);
        Sandbox sandbox = await bench.CreateAsync(spec, cancellationToken).ConfigureAwait(false);
        int count = bench.Count(200) + Bench.Warmups;
        Series ping = new(), same = new(Bench.Warmups), sameAgent = new(Bench.Warmups), ours = new(Bench.Warmups), agent = new(Bench.Warmups);
        double floorCpu = 0, oursCpu = 0;
        await using (sandbox.ConfigureAwait(false))
        {
            // The guest too runs a command faster once its emulator has translated the way there.
            await floor.RequestAsync(0, "exec", 0, WarmupExecs).ConfigureAwait(false);
            await Bench.WarmUpAsync(() => sandbox.ExecAsync(FloorFiles.Command, cancellationToken: cancellationToken)).ConfigureAwait(false);
            for (int i = 0; i < count; i++)
            {
                Bench.Progress($"{Id} {i + 1}/{count}");
                ping.Add((await floor.PingAsync(0, Pings).ConfigureAwait(false))[^1]);
                double before = await floor.GetCpuAsync().ConfigureAwait(false);
                FloorRequestTime direct = (await floor.RequestAsync(0, "exec", 0, 1).ConfigureAwait(false))[0];
                floorCpu += await floor.GetCpuAsync().ConfigureAwait(false) - before;
                same.Add(direct.Microseconds);
                sameAgent.Add(direct.AgentMicroseconds);

                before = CpuTime.OursMilliseconds;
                long start = Stopwatch.GetTimestamp();
                ExecResult result = await sandbox.ExecAsync(FloorFiles.Command, cancellationToken: cancellationToken).ConfigureAwait(false);
                double time = Bench.Since(start) * 1e3;
                oursCpu += CpuTime.OursMilliseconds - before;
                result.EnsureSuccess();
                ours.Add(time);
                agent.Add(result.Exit.WallTime.TotalMicroseconds);
            }
        }

        await floor.KillAsync(0).ConfigureAwait(false);
        double below = agent.P50 + ping.P50;
        return
        [
            new Figure
            {
                Name = $"{which}: agent's spawn and wait + a ping",
                Unit = "us",
                Floor = below,
                Ours = ours.P50,
                Ratio = ours.P50 / below,
                Goal = goal ? Goal : null,
                Holds = goal ? ours.P50 <= below * 1.15 : null,
                FloorSeries = agent.Summary,
                OursSeries = ours.Summary,
                FloorCpuMilliseconds = floorCpu / count,
                OursCpuMilliseconds = oursCpu / count,
            },
            Figure.Compare($"{which}: the floor program's exec", "us", same, ours),
            Figure.Compare($"{which}: spawn and wait, said the agent", "us", sameAgent, agent),
            Figure.OfFloor($"{which}: ping", "us", ping),
        ];
    }
}
