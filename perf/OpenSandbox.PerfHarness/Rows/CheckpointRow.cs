using System.Diagnostics;
using OpenSandbox.PerfHarness.Floor;
using OpenSandbox.PerfHarness.Measuring;
using OpenSandbox.PerfHarness.Processes;
using OpenSandbox.Vmm;

namespace OpenSandbox.PerfHarness.Rows;

/// <summary>
/// P11: for how long a checkpoint stops the machine. The floor program quiesces an equal guest, stops it, has the devices saved, finds and
/// copies the same pages, and continues it. It switches no disks: that is ours to keep small. Checkpoints are deleted outside the time.
/// </summary>
internal sealed class CheckpointRow() : Row("P11", "checkpoint: time the guest is stopped", "<= 1.2x")
{
    // Each checkpoint leaves a layer more below the disks.
    private const int RoundsPerMachine = 5;

    internal override async Task<IReadOnlyList<Figure>> RunAsync(Bench bench, CancellationToken cancellationToken) =>
    [
        .. await MeasureAsync(bench, Bench.WithDisks, "idle", dirty: false, goal: true, cancellationToken).ConfigureAwait(false),
        .. await MeasureAsync(bench, Bench.WithDisks, "16 MiB written", dirty: true, goal: true, cancellationToken).ConfigureAwait(false),
        .. await MeasureAsync(bench, Bench.Bare, "idle, no disks", dirty: false, goal: false, cancellationToken).ConfigureAwait(false),
    ];

    private async Task<IReadOnlyList<Figure>> MeasureAsync(
        Bench bench, SandboxSpec spec, string which, bool dirty, bool goal, CancellationToken cancellationToken)
    {
        FloorProgram floor = await bench.GetFloorAsync(spec, cancellationToken).ConfigureAwait(false);
        int count = bench.Count(30) + Bench.Warmups;
        Series floorStopped = new(Bench.Warmups), floorStop = new(Bench.Warmups), floorScan = new(Bench.Warmups), floorCopy = new(Bench.Warmups);
        Series floorDevices = new(Bench.Warmups), floorAround = new(Bench.Warmups), floorPages = new(Bench.Warmups);
        Series ours = new(Bench.Warmups), around = new(Bench.Warmups), whole = new(Bench.Warmups), cpu = new(Bench.Warmups), pages = new(Bench.Warmups);
        for (int left = count; left > 0;)
        {
            await floor.CreateAsync(0, exec: false).ConfigureAwait(false);
            Sandbox sandbox = await bench.CreateAsync(spec, cancellationToken).ConfigureAwait(false);
            await using (sandbox.ConfigureAwait(false))
            {
                if (dirty)
                {
                    await floor.RequestAsync(0, "dirty", 0, 1).ConfigureAwait(false);
                    (await sandbox.ExecAsync(FloorFiles.DirtyingCommand, cancellationToken: cancellationToken).ConfigureAwait(false)).EnsureSuccess();
                }

                for (int i = 0; i < RoundsPerMachine && left > 0; i++, left--)
                {
                    Bench.Progress($"{Id} {which} {count - left + 1}/{count}");
                    FloorCut cut = await floor.CutAsync(0, goOn: true).ConfigureAwait(false);
                    floorStopped.Add(cut.StoppedMilliseconds);
                    floorStop.Add(cut.StopMilliseconds);
                    floorScan.Add(cut.ScanMilliseconds);
                    floorCopy.Add(cut.CopyMilliseconds);
                    floorDevices.Add(cut.DevicesMilliseconds);
                    floorAround.Add(cut.QuiesceMilliseconds + cut.ThawMilliseconds);
                    floorPages.Add(cut.Pages);

                    double cpuBefore = CpuTime.OursMilliseconds;
                    long start = Stopwatch.GetTimestamp();
                    SandboxCheckpoint made = await sandbox.CheckpointAsync(cancellationToken: cancellationToken).ConfigureAwait(false);
                    whole.Add(Bench.Since(start));
                    cpu.Add(CpuTime.OursMilliseconds - cpuBefore);
                    ours.Add(made.Stopped.TotalMilliseconds);
                    around.Add((made.StoodStill - made.Stopped).TotalMilliseconds);
                    pages.Add(made.MemoryPages);
                    await bench.Host.DeleteCheckpointAsync(made.Id, cancellationToken).ConfigureAwait(false);
                }
            }

            await floor.KillAsync(0).ConfigureAwait(false);
        }

        return
        [
            goal
                ? Figure.Compare($"{which}: stopped", "ms", floorStopped, ours, Goal, static (floor, ours) => ours <= floor * 1.2)
                : Figure.Compare($"{which}: stopped", "ms", floorStopped, ours),
            Figure.Compare($"{which}: quiesce and thaw around it", "ms", floorAround, around),
            Figure.Compare($"{which}: pages copied", "", floorPages, pages),
            Figure.OfFloor($"{which}: until QEMU has stopped", "ms", floorStop),
            Figure.OfFloor($"{which}: scan", "ms", floorScan),
            Figure.OfFloor($"{which}: copy", "ms", floorCopy),
            Figure.OfFloor($"{which}: devices, after the copy", "ms", floorDevices),
            Figure.OfOurs($"{which}: the whole checkpoint, saved durably", "ms", whole) with { OursCpuMilliseconds = cpu.P50 },
        ];
    }
}
