using System.Diagnostics;
using OpenSandbox.PerfHarness.Floor;
using OpenSandbox.PerfHarness.Measuring;
using OpenSandbox.PerfHarness.Processes;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm;

namespace OpenSandbox.PerfHarness.Rows;

/// <summary>
/// P8: large files on the workspace, against the same number of bytes through the same port that the agent drops or makes up. Files on
/// the guest's tmpfs, and the bare port through the library, say where the time goes.
/// </summary>
internal sealed class TransferRow() : Row("P8", "file up / down, 64 MiB", ">= 0.85x")
{
    /// <summary>Sandboxes are replaced before what they have written and deleted makes their disks large.</summary>
    private const int RoundsPerMachine = 8;

    private const double Megabyte = 1e6;

    internal override async Task<IReadOnlyList<Figure>> RunAsync(Bench bench, CancellationToken cancellationToken)
    {
        FloorProgram floor = await bench.GetFloorAsync(Bench.WithDisks, cancellationToken).ConfigureAwait(false);
        int count = bench.Count(30) + Bench.Warmups;
        byte[] content = new byte[FloorFiles.TransferBytes];
        Random.Shared.NextBytes(content);
        Series sink = new(Bench.Warmups), source = new(Bench.Warmups), ourSink = new(Bench.Warmups), ourSource = new(Bench.Warmups);
        Series diskUp = new(Bench.Warmups), diskDown = new(Bench.Warmups), memoryUp = new(Bench.Warmups), memoryDown = new(Bench.Warmups);
        double sinkCpu = 0, sourceCpu = 0, diskUpCpu = 0, diskDownCpu = 0, ourSinkCpu = 0, ourSourceCpu = 0;
        int left = count;
        while (left > 0)
        {
            await floor.CreateAsync(0, exec: false).ConfigureAwait(false);
            Sandbox sandbox = await bench.CreateAsync(Bench.WithDisks, cancellationToken).ConfigureAwait(false);
            await using (sandbox.ConfigureAwait(false))
            {
                for (int i = 0; i < RoundsPerMachine && left > 0; i++, left--)
                {
                    Bench.Progress($"{Id} {count - left + 1}/{count}");
                    double floorCpu = await floor.GetCpuAsync().ConfigureAwait(false);
                    sink.Add(Rate((await floor.RequestAsync(0, "sink", content.Length, 1).ConfigureAwait(false))[0].Microseconds / 1e3));
                    sinkCpu += -floorCpu + (floorCpu = await floor.GetCpuAsync().ConfigureAwait(false));
                    double cpu = CpuTime.OursMilliseconds;
                    diskUp.Add(await UpAsync(sandbox, "/workspace/large", content, cancellationToken).ConfigureAwait(false));
                    diskUpCpu += CpuTime.OursMilliseconds - cpu;
                    source.Add(Rate((await floor.RequestAsync(0, "source", 0, 1).ConfigureAwait(false))[0].Microseconds / 1e3));
                    sourceCpu += await floor.GetCpuAsync().ConfigureAwait(false) - floorCpu;
                    cpu = CpuTime.OursMilliseconds;
                    diskDown.Add(await DownAsync(sandbox, "/workspace/large", cancellationToken).ConfigureAwait(false));
                    diskDownCpu += CpuTime.OursMilliseconds - cpu;
                    memoryUp.Add(await UpAsync(sandbox, "/tmp/large", content, cancellationToken).ConfigureAwait(false));
                    memoryDown.Add(await DownAsync(sandbox, "/tmp/large", cancellationToken).ConfigureAwait(false));
                    cpu = CpuTime.OursMilliseconds;
                    ourSink.Add(await SinkAsync(sandbox, content, cancellationToken).ConfigureAwait(false));
                    ourSinkCpu += -cpu + (cpu = CpuTime.OursMilliseconds);
                    ourSource.Add(await SourceAsync(sandbox, cancellationToken).ConfigureAwait(false));
                    ourSourceCpu += CpuTime.OursMilliseconds - cpu;
                }
            }

            await floor.KillAsync(0).ConfigureAwait(false);
        }

        return
        [
            WithCpu(
                Figure.Compare("up to /workspace", "MB/s", sink, diskUp, Goal, static (floor, ours) => ours >= floor * 0.85),
                sinkCpu, diskUpCpu),
            WithCpu(
                Figure.Compare("down from /workspace", "MB/s", source, diskDown, Goal, static (floor, ours) => ours >= floor * 0.85),
                sourceCpu, diskDownCpu),
            Figure.Compare("up to /tmp", "MB/s", sink, memoryUp),
            Figure.Compare("down from /tmp", "MB/s", source, memoryDown),
            WithCpu(Figure.Compare("up to nowhere", "MB/s", sink, ourSink), sinkCpu, ourSinkCpu),
            WithCpu(Figure.Compare("down from nowhere", "MB/s", source, ourSource), sourceCpu, ourSourceCpu),
        ];

        Figure WithCpu(Figure figure, double floorCpu, double cpu) => figure with
        {
            FloorCpuMilliseconds = floorCpu / count,
            OursCpuMilliseconds = cpu / count,
        };
    }

    private static double Rate(double milliseconds) => FloorFiles.TransferBytes / Megabyte / (milliseconds / 1e3);

    private static async Task<double> UpAsync(Sandbox sandbox, string path, byte[] content, CancellationToken cancellationToken)
    {
        long start = Stopwatch.GetTimestamp();
        await sandbox.Files.WriteAsync(path, content.AsMemory(), cancellationToken: cancellationToken).ConfigureAwait(false);
        return Rate(Bench.Since(start));
    }

    private static async Task<double> DownAsync(Sandbox sandbox, string path, CancellationToken cancellationToken)
    {
        long start = Stopwatch.GetTimestamp();
        long count = await sandbox.Files.ReadAsync(path, Stream.Null, cancellationToken: cancellationToken).ConfigureAwait(false);
        double rate = Rate(Bench.Since(start));
        if (count != FloorFiles.TransferBytes)
        {
            throw new InvalidDataException($"{count} bytes came back instead of {FloorFiles.TransferBytes}");
        }

        await sandbox.Files.DeleteAsync(path, cancellationToken: cancellationToken).ConfigureAwait(false);
        return rate;
    }

    private static async Task<double> SinkAsync(Sandbox sandbox, byte[] content, CancellationToken cancellationToken)
    {
        long start = Stopwatch.GetTimestamp();
        GuestStream stream = await sandbox.OpenStreamAsync(new OpenRequest { Op = Operations.Sink }).ConfigureAwait(false);
        await using (stream.ConfigureAwait(false))
        {
            await stream.WriteAsync(content, cancellationToken).ConfigureAwait(false);
            await stream.CompleteWritesAsync(cancellationToken).ConfigureAwait(false);
            await stream.GetResultAsync(ProtocolJsonContext.Default.FileResult, cancellationToken).ConfigureAwait(false);
            return Rate(Bench.Since(start));
        }
    }

    private static async Task<double> SourceAsync(Sandbox sandbox, CancellationToken cancellationToken)
    {
        long start = Stopwatch.GetTimestamp();
        GuestStream stream = await sandbox.OpenStreamAsync(new OpenRequest { Op = Operations.Source, Length = FloorFiles.TransferBytes }).ConfigureAwait(false);
        await using (stream.ConfigureAwait(false))
        {
            while (true)
            {
                using GuestData data = await stream.ReadAsync(cancellationToken).ConfigureAwait(false);
                if (data.IsEnd)
                {
                    break;
                }
            }

            await stream.GetResultAsync(ProtocolJsonContext.Default.FileResult, cancellationToken).ConfigureAwait(false);
            return Rate(Bench.Since(start));
        }
    }
}
