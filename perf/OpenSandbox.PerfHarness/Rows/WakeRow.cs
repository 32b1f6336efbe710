using System.Diagnostics;
using OpenSandbox.PerfHarness.Floor;
using OpenSandbox.PerfHarness.Measuring;
using OpenSandbox.PerfHarness.Processes;
using OpenSandbox.Vmm;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.PerfHarness.Rows;

/// <summary>
/// P14: a hibernated sandbox wakes, with all its memory. The floor is a new machine of the floor program's, without disks, plus reading
/// what the sandbox was saved as. Beside it stands what the floor program needs to revive an equal machine.
/// </summary>
internal sealed class WakeRow() : Row("P14", "wake with all memory, page cache warm / dropped", "<= 1.15x / <= 1.5x")
{
    internal override async Task<IReadOnlyList<Figure>> RunAsync(Bench bench, CancellationToken cancellationToken) =>
    [
        .. await MeasureAsync(bench, Bench.WithDisks, "image and workspace", cancellationToken).ConfigureAwait(false),
        .. await MeasureAsync(bench, Bench.Bare, "no disks", cancellationToken).ConfigureAwait(false),
    ];

    private async Task<IReadOnlyList<Figure>> MeasureAsync(Bench bench, SandboxSpec spec, string which, CancellationToken cancellationToken)
    {
        FloorProgram bare = await bench.GetFloorAsync(Bench.Bare, cancellationToken).ConfigureAwait(false);
        FloorProgram same = await bench.GetFloorAsync(spec, cancellationToken).ConfigureAwait(false);
        int count = bench.Count(30) + Bench.Warmups;
        Side warm = new(), dropped = new();
        for (int i = 0; i < 2 * count; i++)
        {
            bool drop = i % 2 == 1;
            Side side = drop ? dropped : warm;
            Bench.Progress($"{Id} {which} {(i / 2) + 1}/{count}");
            if (!drop)
            {
                // What a new guest still has to do is over by the time its state is taken.
                await same.CreateAsync(1, exec: false).ConfigureAwait(false);
            }

            Sandbox sandbox = await bench.CreateAsync(spec, cancellationToken).ConfigureAwait(false);
            try
            {
                SandboxHibernation saved = await sandbox.HibernateAsync(cancellationToken).ConfigureAwait(false);
                (IReadOnlyList<string> memory, IReadOnlyList<string> disks) = FilesOf(bench.Host.Store, saved.SnapshotId);
                IReadOnlyList<string> forgotten = drop ? [.. memory, .. disks] : [];

                FloorCreation made = await bare.CreateAsync(0, exec: false).ConfigureAwait(false);
                await bare.KillAsync(0).ConfigureAwait(false);
                await ForgetAsync(bare, forgotten).ConfigureAwait(false);
                double reading = 0;
                foreach (string file in memory)
                {
                    reading += await bare.ReadFileAsync(file).ConfigureAwait(false);
                }

                side.Create.Add(made.TotalMilliseconds);
                side.Read.Add(reading);
                side.Floor.Add(made.TotalMilliseconds + reading);

                await ForgetAsync(bare, forgotten).ConfigureAwait(false);
                double cpuBefore = CpuTime.OursMilliseconds;
                long start = Stopwatch.GetTimestamp();
                SandboxWake woken = await sandbox.WakeAsync(cancellationToken: cancellationToken).ConfigureAwait(false);
                side.Ours.Add(Bench.Since(start));
                side.Cpu.Add(CpuTime.OursMilliseconds - cpuBefore);
                if (!woken.MemoryRestored)
                {
                    throw new InvalidDataException($"the sandbox has lost its memory: {string.Join("; ", woken.Reasons)}");
                }

                if (!drop)
                {
                    await same.CutAsync(1, goOn: false).ConfigureAwait(false);
                    side.Revive.Add(reading + await same.ReviveAsync(2, 1, FloorFiles.WakePrefix).ConfigureAwait(false));
                    await same.KillAsync(2).ConfigureAwait(false);
                    await same.KillAsync(1).ConfigureAwait(false);
                }
            }
            finally
            {
                await sandbox.DeleteAsync().ConfigureAwait(false);
            }
        }

        return
        [
            warm.Compare($"{which}, warm", "<= 1.15x", 1.15),
            dropped.Compare($"{which}, dropped", "<= 1.5x", 1.5),
            Figure.Compare($"{which}, warm: the floor program revives an equal one", "ms", warm.Revive, warm.Ours),
            Figure.OfFloor($"{which}, warm: create", "ms", warm.Create),
            Figure.OfFloor($"{which}, warm: read", "ms", warm.Read),
            Figure.OfFloor($"{which}, dropped: read", "ms", dropped.Read),
        ];
    }

    private static (IReadOnlyList<string> Memory, IReadOnlyList<string> Disks) FilesOf(StateStore store, string snapshotId)
    {
        SnapshotManifest manifest = store.LoadSnapshot(snapshotId);
        SnapshotMemory memory = manifest.Memory ?? throw new InvalidDataException($"snapshot {snapshotId} has no memory");
        string directory = store.Layout.Snapshot(snapshotId);
        return (
            [Path.Combine(directory, memory.DeviceState.Name), Path.Combine(directory, memory.Memory.Name)],
            [store.Layout.SnapshotManifest(snapshotId), .. manifest.Disks.All().SelectMany(static disk => disk.Layers).Select(layer => store.Layout.Layer(layer.Id))]);
    }

    private static async Task ForgetAsync(FloorProgram floor, IReadOnlyList<string> files)
    {
        foreach (string file in files)
        {
            await floor.ForgetFileAsync(file).ConfigureAwait(false);
        }
    }

    private sealed class Side
    {
        internal Series Floor { get; } = new(Bench.Warmups);

        internal Series Create { get; } = new(Bench.Warmups);

        internal Series Read { get; } = new(Bench.Warmups);

        internal Series Revive { get; } = new(Bench.Warmups);

        internal Series Ours { get; } = new(Bench.Warmups);

        internal Series Cpu { get; } = new(Bench.Warmups);

        internal Figure Compare(string name, string goal, double limit) =>
            Figure.Compare(name, "ms", Floor, Ours, goal, (floor, ours) => ours <= floor * limit) with { OursCpuMilliseconds = Cpu.P50 };
    }
}
