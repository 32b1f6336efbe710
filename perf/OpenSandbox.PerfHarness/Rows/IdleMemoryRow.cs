using OpenSandbox.PerfHarness.Floor;
using OpenSandbox.PerfHarness.Measuring;
using OpenSandbox.PerfHarness.Processes;
using OpenSandbox.Vmm;

namespace OpenSandbox.PerfHarness.Rows;

/// <summary>P15: what an idle sandbox costs, all alive at once, each having done the same resume and nothing else.</summary>
internal sealed class IdleMemoryRow() : Row("P15", "memory an idle sandbox costs (private dirty, 20 alive)", "<= floor + 0.5 MiB; .NET <= 64 KiB each")
{
    private const int Alive = 20;
    private const double KibPerMib = 1_024;

    internal override async Task<IReadOnlyList<Figure>> RunAsync(Bench bench, CancellationToken cancellationToken)
    {
        FloorProgram floor = await bench.GetFloorAsync(Bench.Bare, cancellationToken).ConfigureAwait(false);

        // Whatever the first sandbox of a process makes for all is not what each costs.
        await (await bench.CreateAsync(Bench.Bare, cancellationToken).ConfigureAwait(false)).DisposeAsync().ConfigureAwait(false);
        long heapBefore = GC.GetTotalMemory(forceFullCollection: true);
        var sandboxes = new List<Sandbox>();
        Series floorTotal = new(), ours = new(), floorLauncher = new(), launcher = new();
        try
        {
            for (int i = 0; i < Alive; i++)
            {
                Bench.Progress($"{Id} {i + 1}/{Alive}");
                await floor.CreateAsync(i, exec: false).ConfigureAwait(false);
                sandboxes.Add(await bench.Host.CreateAsync(Bench.Bare, cancellationToken).ConfigureAwait(false));
            }

            double heapEach = (GC.GetTotalMemory(forceFullCollection: true) - heapBefore) / KibPerMib / Alive;
            for (int i = 0; i < Alive; i++)
            {
                (int floorPid, int floorQemu) = await floor.GetPidsAsync(i).ConfigureAwait(false);
                double below = MemoryMaps.PrivateDirtyKib(floorPid) / KibPerMib;
                floorLauncher.Add(below);
                floorTotal.Add(below + (MemoryMaps.PrivateDirtyKib(floorQemu) / KibPerMib));
                double above = MemoryMaps.PrivateDirtyKib(sandboxes[i].Machine.LauncherPid) / KibPerMib;
                launcher.Add(above);
                ours.Add(above + (MemoryMaps.PrivateDirtyKib(await sandboxes[i].Machine.GetQemuPidAsync(cancellationToken).ConfigureAwait(false)) / KibPerMib));
            }

            return
            [
                Figure.Compare("QEMU and launcher, private dirty", "MiB", floorTotal, ours, "<= floor + 0.5 MiB", static (floor, ours) => ours <= floor + 0.5),
                new Figure { Name = ".NET heap per sandbox", Unit = "KiB", Floor = 0, Ours = heapEach, Goal = "<= 64 KiB", Holds = heapEach <= 64 },
                Figure.Compare("launcher alone", "MiB", floorLauncher, launcher),
            ];
        }
        finally
        {
            foreach (Sandbox sandbox in sandboxes)
            {
                await sandbox.DisposeAsync().ConfigureAwait(false);
            }

            for (int i = 0; i < sandboxes.Count; i++)
            {
                await floor.KillAsync(i).ConfigureAwait(false);
            }
        }
    }
}
