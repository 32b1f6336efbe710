using System.Diagnostics;
using OpenSandbox.PerfHarness.Floor;
using OpenSandbox.PerfHarness.Measuring;
using OpenSandbox.PerfHarness.Processes;
using OpenSandbox.Vmm;

namespace OpenSandbox.PerfHarness.Rows;

/// <summary>P1: from nothing to the first command's result, without disks, so that only golden snapshot, channel and agent count.</summary>
internal sealed class ColdCreateRow() : Row("P1", "create -> first exec result, cold", "<= 1.10x and <= floor + 3 ms")
{
    internal override async Task<IReadOnlyList<Figure>> RunAsync(Bench bench, CancellationToken cancellationToken)
    {
        FloorProgram floor = await bench.GetFloorAsync(Bench.Bare, cancellationToken).ConfigureAwait(false);
        int count = bench.Count(30) + Bench.Warmups;
        Series floorTotal = new(Bench.Warmups), floorSpawn = new(Bench.Warmups), floorHello = new(Bench.Warmups), floorResume = new(Bench.Warmups);
        Series floorQemuCpu = new(Bench.Warmups), floorCpu = new(Bench.Warmups), floorExec = new(Bench.Warmups), floorAgent = new(Bench.Warmups);
        Series ours = new(Bench.Warmups), oursTwo = new(Bench.Warmups), oursCreate = new(Bench.Warmups), oursExec = new(Bench.Warmups), oursAgent = new(Bench.Warmups);
        Series oursQemuCpu = new(Bench.Warmups), oursCpu = new(Bench.Warmups);
        for (int i = 0; i < count; i++)
        {
            Bench.Progress($"{Id} {i + 1}/{count}");
            double cpuBefore = await floor.GetCpuAsync().ConfigureAwait(false);
            FloorCreation made = await floor.CreateAsync(0, exec: true).ConfigureAwait(false);
            floorCpu.Add(await floor.GetCpuAsync().ConfigureAwait(false) - cpuBefore);
            (_, int floorQemu) = await floor.GetPidsAsync(0).ConfigureAwait(false);
            floorQemuCpu.Add(CpuTime.OfMilliseconds(floorQemu));
            await floor.KillAsync(0).ConfigureAwait(false);
            floorTotal.Add(made.TotalMilliseconds);
            floorSpawn.Add(made.SpawnedMilliseconds);
            floorHello.Add(made.HelloMilliseconds);
            floorResume.Add(made.ResumedMilliseconds);
            floorExec.Add(made.AgentExecMilliseconds);
            floorAgent.Add(made.AgentResumeMilliseconds);

            cpuBefore = CpuTime.OursMilliseconds;
            long start = Stopwatch.GetTimestamp();
            (Sandbox sandbox, ExecResult result) = await bench.Host
                .CreateAndExecAsync(FloorFiles.Command, Bench.Bare, cancellationToken: cancellationToken).ConfigureAwait(false);
            double total = Bench.Since(start);
            oursCpu.Add(CpuTime.OursMilliseconds - cpuBefore);
            await using (sandbox.ConfigureAwait(false))
            {
                result.EnsureSuccess();
                oursQemuCpu.Add(CpuTime.OfMilliseconds(await sandbox.Machine.GetQemuPidAsync(cancellationToken).ConfigureAwait(false)));
                ours.Add(total);
                oursExec.Add(result.Exit.WallTime.TotalMilliseconds);
                oursAgent.Add(sandbox.Resumed.TotalMicroseconds / 1e3);
            }

            // The same in two calls: the command is sent only when the sandbox is there.
            start = Stopwatch.GetTimestamp();
            Sandbox second = await bench.Host.CreateAsync(Bench.Bare, cancellationToken).ConfigureAwait(false);
            await using (second.ConfigureAwait(false))
            {
                oursCreate.Add(Bench.Since(start));
                await second.ExecAsync(FloorFiles.Command, cancellationToken: cancellationToken).ConfigureAwait(false);
                oursTwo.Add(Bench.Since(start));
            }
        }

        Figure whole = Figure.Compare("create and first exec", "ms", floorTotal, ours, Goal, static (floor, ours) => ours <= floor * 1.10 && ours <= floor + 3) with
        {
            FloorCpuMilliseconds = floorCpu.P50,
            OursCpuMilliseconds = oursCpu.P50,
        };
        return
        [
            whole,
            Figure.Compare("create, then exec: two calls", "ms", floorTotal, oursTwo),
            Figure.OfFloor("until the launcher is spawned", "ms", floorSpawn),
            Figure.OfFloor("until the agent's hello", "ms", floorHello),
            Figure.Compare("until resumed", "ms", floorResume, oursCreate),
            Figure.Compare("resume, said the agent", "ms", floorAgent, oursAgent),
            Figure.Compare("exec, said the agent", "ms", floorExec, oursExec),
            Figure.Compare("CPU time of QEMU", "ms", floorQemuCpu, oursQemuCpu),
        ];
    }
}
