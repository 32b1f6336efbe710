using OpenSandbox.PerfHarness.Floor;
using OpenSandbox.PerfHarness.Measuring;
using OpenSandbox.PerfHarness.Processes;
using OpenSandbox.Vmm;

namespace OpenSandbox.PerfHarness.Rows;

/// <summary>How much of the golden snapshot an idle sandbox has made its own: what a hibernated one would have to save.</summary>
internal sealed class IdlePagesRow() : Row("idle-pages", "private guest pages of an idle sandbox", "<= 2 MiB")
{
    private const double BytesPerMib = 1 << 20;

    internal override async Task<IReadOnlyList<Figure>> RunAsync(Bench bench, CancellationToken cancellationToken)
    {
        FloorProgram floor = await bench.GetFloorAsync(Bench.Bare, cancellationToken).ConfigureAwait(false);
        int count = bench.Count(10);
        Series floorBytes = new(), ours = new();
        for (int i = 0; i < count; i++)
        {
            Bench.Progress($"{Id} {i + 1}/{count}");
            await floor.CreateAsync(0, exec: false).ConfigureAwait(false);
            (_, int floorQemu) = await floor.GetPidsAsync(0).ConfigureAwait(false);
            floorBytes.Add(MemoryMaps.PrivateGuestBytes(floorQemu) / BytesPerMib);
            await floor.KillAsync(0).ConfigureAwait(false);
            Sandbox sandbox = await bench.CreateAsync(Bench.Bare, cancellationToken).ConfigureAwait(false);
            await using (sandbox.ConfigureAwait(false))
            {
                ours.Add(MemoryMaps.PrivateGuestBytes(await sandbox.Machine.GetQemuPidAsync(cancellationToken).ConfigureAwait(false)) / BytesPerMib);
            }
        }

        return [Figure.Compare("after resume, without disks", "MiB", floorBytes, ours, Goal, static (_, ours) => ours <= 2)];
    }
}
