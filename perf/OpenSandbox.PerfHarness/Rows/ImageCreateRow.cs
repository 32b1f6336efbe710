using System.Diagnostics;
using OpenSandbox.PerfHarness.Floor;
using OpenSandbox.PerfHarness.Measuring;
using OpenSandbox.PerfHarness.Processes;
using OpenSandbox.Vmm;

namespace OpenSandbox.PerfHarness.Rows;

/// <summary>
/// P2: the same with the image's root file system and a workspace. The floor is P1's plus what the agent says it needed for mounting and
/// for the image's dynamically linked command beyond the static one: everything else that disks cost is ours to keep small.
/// </summary>
internal sealed class ImageCreateRow() : Row("P2", "create -> first exec result, image and workspace mounted", "<= 1.10x")
{
    internal override async Task<IReadOnlyList<Figure>> RunAsync(Bench bench, CancellationToken cancellationToken)
    {
        FloorProgram bare = await bench.GetFloorAsync(Bench.Bare, cancellationToken).ConfigureAwait(false);
        FloorProgram disks = await bench.GetFloorAsync(Bench.WithDisks, cancellationToken).ConfigureAwait(false);
        int count = bench.Count(30) + Bench.Warmups;
        Series floor = new(Bench.Warmups), same = new(Bench.Warmups), ours = new(Bench.Warmups), oursCpu = new(Bench.Warmups);
        Series bareTotal = new(Bench.Warmups), mount = new(Bench.Warmups), sameMount = new(Bench.Warmups);
        Series bareExec = new(Bench.Warmups), exec = new(Bench.Warmups), sameExec = new(Bench.Warmups);
        for (int i = 0; i < count; i++)
        {
            Bench.Progress($"{Id} {i + 1}/{count}");
            FloorCreation without = await bare.CreateAsync(0, exec: true).ConfigureAwait(false);
            await bare.KillAsync(0).ConfigureAwait(false);
            bareTotal.Add(without.TotalMilliseconds);
            bareExec.Add(without.AgentExecMilliseconds);

            double cpuBefore = CpuTime.OursMilliseconds;
            long start = Stopwatch.GetTimestamp();
            (Sandbox sandbox, ExecResult result) = await bench.Host
                .CreateAndExecAsync(FloorFiles.Command, Bench.WithDisks, cancellationToken: cancellationToken).ConfigureAwait(false);
            double total = Bench.Since(start);
            oursCpu.Add(CpuTime.OursMilliseconds - cpuBefore);
            await using (sandbox.ConfigureAwait(false))
            {
                result.EnsureSuccess();
                double mounted = sandbox.Resumed.MountMicroseconds / 1e3;
                double executed = result.Exit.WallTime.TotalMilliseconds;
                ours.Add(total);
                mount.Add(mounted);
                exec.Add(executed);
                floor.Add(without.TotalMilliseconds + mounted + Math.Max(0, executed - without.AgentExecMilliseconds));
            }

            FloorCreation with = await disks.CreateAsync(0, exec: true).ConfigureAwait(false);
            await disks.KillAsync(0).ConfigureAwait(false);
            same.Add(with.TotalMilliseconds);
            sameMount.Add(with.AgentMountMilliseconds);
            sameExec.Add(with.AgentExecMilliseconds);
        }

        return
        [
            Figure.Compare("P1's floor + mount + the image's exec", "ms", floor, ours, Goal, static (floor, ours) => ours <= floor * 1.10) with
            {
                OursCpuMilliseconds = oursCpu.P50,
            },
            Figure.Compare("the floor program with the same disks", "ms", same, ours),
            Figure.OfFloor("P1's floor", "ms", bareTotal),
            Figure.Compare("mount, said the agent", "ms", sameMount, mount),
            Figure.Compare("exec, said the agent", "ms", sameExec, exec),
            Figure.OfFloor("exec without an image, said the agent", "ms", bareExec),
        ];
    }
}
