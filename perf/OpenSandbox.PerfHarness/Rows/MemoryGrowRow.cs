using System.Diagnostics;
using OpenSandbox.PerfHarness.Floor;
using OpenSandbox.PerfHarness.Measuring;
using OpenSandbox.Vmm;

namespace OpenSandbox.PerfHarness.Rows;

/// <summary>
/// P17: 512 MiB more memory, until the agent has it online and the limit of the processes is raised. The floor program sends the same
/// request to the agent and the same command to QEMU's monitor. The memory is taken away again outside the time.
/// </summary>
internal sealed class MemoryGrowRow() : Row("P17", "memory grow +512 MiB visible in the guest", "<= 1.2x")
{
    internal override async Task<IReadOnlyList<Figure>> RunAsync(Bench bench, CancellationToken cancellationToken)
    {
        FloorProgram floor = await bench.GetFloorAsync(Bench.Bare, cancellationToken).ConfigureAwait(false);
        int small = bench.Host.Golden.Shape.BaseMemoryMib;
        int large = small + FloorFiles.GrowMib;
        int count = bench.Count(30) + Bench.Warmups;
        Series floorTimes = new(Bench.Warmups), ours = new(Bench.Warmups);
        await floor.CreateAsync(0, exec: false).ConfigureAwait(false);
        Sandbox sandbox = await bench.CreateAsync(Bench.Bare, cancellationToken).ConfigureAwait(false);
        await using (sandbox.ConfigureAwait(false))
        {
            for (int i = 0; i < count; i++)
            {
                Bench.Progress($"{Id} {i + 1}/{count}");
                floorTimes.Add(await floor.PlugAsync(0, "grow", FloorFiles.GrowMib).ConfigureAwait(false));
                await floor.PlugAsync(0, "shrink", 0).ConfigureAwait(false);

                long start = Stopwatch.GetTimestamp();
                SandboxLimits limits = await sandbox.ResizeAsync(large, cancellationToken: cancellationToken).ConfigureAwait(false);
                ours.Add(Bench.Since(start));
                if (limits.GuestMemoryBytes <= (long)small << 20)
                {
                    throw new InvalidDataException($"the guest has {limits.GuestMemoryBytes} bytes and should have grown");
                }

                await sandbox.ResizeAsync(small, cancellationToken: cancellationToken).ConfigureAwait(false);
            }
        }

        await floor.KillAsync(0).ConfigureAwait(false);
        return [Figure.Compare("plug and online", "ms", floorTimes, ours, Goal, static (floor, ours) => ours <= floor * 1.2)];
    }
}
