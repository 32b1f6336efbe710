using Microsoft.Win32.SafeHandles;
using OpenSandbox.PerfHarness.Floor;
using OpenSandbox.PerfHarness.Measuring;
using OpenSandbox.Vmm;
using OpenSandbox.Vmm.Snapshots;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.PerfHarness.Rows;

/// <summary>
/// P13: what a hibernated sandbox's memory takes on disk, before compression, against the private pages and the devices' state of an equal
/// machine that the floor program has stopped. What is stored is read back and counted.
/// </summary>
internal sealed class HibernatedBytesRow() : Row("P13", "hibernated bytes", "<= 1.05x before compression")
{
    private const double BytesPerMib = 1 << 20;

    internal override async Task<IReadOnlyList<Figure>> RunAsync(Bench bench, CancellationToken cancellationToken) =>
    [
        .. await MeasureAsync(bench, Bench.WithDisks, "idle", dirty: false, cancellationToken).ConfigureAwait(false),
        .. await MeasureAsync(bench, Bench.WithDisks, "16 MiB written", dirty: true, cancellationToken).ConfigureAwait(false),
        .. await MeasureAsync(bench, Bench.Bare, "idle, no disks", dirty: false, cancellationToken).ConfigureAwait(false),
    ];

    private async Task<IReadOnlyList<Figure>> MeasureAsync(
        Bench bench, SandboxSpec spec, string which, bool dirty, CancellationToken cancellationToken)
    {
        FloorProgram floor = await bench.GetFloorAsync(spec, cancellationToken).ConfigureAwait(false);
        int count = bench.Count(30) + Bench.Warmups;
        Series below = new(Bench.Warmups), uncompressed = new(Bench.Warmups), compressed = new(Bench.Warmups), zeroes = new(Bench.Warmups);
        Series floorPages = new(Bench.Warmups), pages = new(Bench.Warmups), floorDevices = new(Bench.Warmups), devices = new(Bench.Warmups);
        for (int i = 0; i < count; i++)
        {
            Bench.Progress($"{Id} {which} {i + 1}/{count}");
            await floor.CreateAsync(0, exec: false).ConfigureAwait(false);
            if (dirty)
            {
                await floor.RequestAsync(0, "dirty", 0, 1).ConfigureAwait(false);
            }

            FloorCut cut = await floor.CutAsync(0, goOn: false).ConfigureAwait(false);
            await floor.KillAsync(0).ConfigureAwait(false);
            below.Add(cut.Bytes / BytesPerMib);
            floorPages.Add(cut.Pages);
            floorDevices.Add(cut.DeviceBytes / 1_024.0);

            Sandbox sandbox = await bench.CreateAsync(spec, cancellationToken).ConfigureAwait(false);
            try
            {
                if (dirty)
                {
                    (await sandbox.ExecAsync(FloorFiles.DirtyingCommand, cancellationToken: cancellationToken).ConfigureAwait(false)).EnsureSuccess();
                }

                SandboxHibernation saved = await sandbox.HibernateAsync(cancellationToken).ConfigureAwait(false);
                SnapshotMemory memory = bench.Host.Store.LoadSnapshot(saved.SnapshotId).Memory
                    ?? throw new InvalidDataException($"snapshot {saved.SnapshotId} has no memory");
                using SafeFileHandle file = bench.Host.Store.OpenSnapshotFileUnchecked(saved.SnapshotId, memory.Memory);
                MemoryFileSummary content = await MemoryFileReader
                    .VerifyAsync(file, memory.Memory.Bytes, SavedMachine.LayoutOf(bench.Host.Golden.Shape), memory.Memory.Sha256, cancellationToken)
                    .ConfigureAwait(false);
                uncompressed.Add((content.UncompressedBytes + memory.DeviceState.Bytes) / BytesPerMib);
                compressed.Add(saved.MemoryBytes / BytesPerMib);
                zeroes.Add(content.ZeroPages);
                pages.Add(saved.MemoryPages);
                devices.Add(memory.DeviceState.Bytes / 1_024.0);
            }
            finally
            {
                await sandbox.DeleteAsync().ConfigureAwait(false);
            }
        }

        return
        [
            Figure.Compare($"{which}: before compression", "MiB", below, uncompressed, Goal, static (floor, ours) => ours <= floor * 1.05),
            Figure.Compare($"{which}: as stored", "MiB", below, compressed),
            Figure.Compare($"{which}: private pages", "", floorPages, pages),
            Figure.OfOurs($"{which}: of them zero, and not stored", "", zeroes),
            Figure.Compare($"{which}: devices' state", "KiB", floorDevices, devices),
        ];
    }
}
