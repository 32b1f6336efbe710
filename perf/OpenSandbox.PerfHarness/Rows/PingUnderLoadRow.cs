using OpenSandbox.PerfHarness.Floor;
using OpenSandbox.PerfHarness.Measuring;
using OpenSandbox.Vmm;

namespace OpenSandbox.PerfHarness.Rows;

/// <summary>P9: whether a transfer delays a ping. The floor is the library's own ping with nothing else going on.</summary>
internal sealed class PingUnderLoadRow() : Row("P9", "ping p99 during a 64 MiB transfer", "<= 3x")
{
    private const int PingsPerRound = 50;
    private const int MaxRounds = 200;

    internal override async Task<IReadOnlyList<Figure>> RunAsync(Bench bench, CancellationToken cancellationToken)
    {
        FloorProgram floor = await bench.GetFloorAsync(Bench.WithDisks, cancellationToken).ConfigureAwait(false);
        await floor.CreateAsync(0, exec: false).ConfigureAwait(false);
        Sandbox sandbox = await bench.CreateAsync(Bench.WithDisks, cancellationToken).ConfigureAwait(false);
        byte[] content = new byte[FloorFiles.TransferBytes];
        Random.Shared.NextBytes(content);
        int wanted = bench.Count(400);
        Series idle = new(Bench.Warmups), loaded = new(Bench.Warmups), floorIdle = new(Bench.Warmups), floorLoaded = new(Bench.Warmups);
        await using (sandbox.ConfigureAwait(false))
        {
            await Bench.WarmUpAsync(async () => await sandbox.PingAsync(cancellationToken).ConfigureAwait(false)).ConfigureAwait(false);
            await floor.PingAsync(0, PingsPerRound).ConfigureAwait(false);
            for (int round = 0; round < MaxRounds && (loaded.Count < wanted || idle.Count < wanted); round++)
            {
                Bench.Progress($"{Id} {Math.Min(loaded.Count, idle.Count)}/{wanted}");
                floorIdle.AddRange(await floor.PingAsync(0, PingsPerRound).ConfigureAwait(false));
                for (int i = 0; i < PingsPerRound; i++)
                {
                    idle.Add((await sandbox.PingAsync(cancellationToken).ConfigureAwait(false)).TotalMicroseconds);
                }

                floorLoaded.AddRange(await floor.PingUnderLoadAsync(0, "sink", content.Length).ConfigureAwait(false));
                Task transfer = sandbox.Files.WriteAsync("/workspace/large", content.AsMemory(), cancellationToken: cancellationToken);
                while (!transfer.IsCompleted)
                {
                    loaded.Add((await sandbox.PingAsync(cancellationToken).ConfigureAwait(false)).TotalMicroseconds);
                }

                await transfer.ConfigureAwait(false);
            }
        }

        await floor.KillAsync(0).ConfigureAwait(false);
        return
        [
            Figure.Compare("p99 during an upload, against idle", "us", idle, loaded, static series => series.P99, Goal, static (idle, loaded) => loaded <= idle * 3),
            Figure.Compare("median during an upload, against idle", "us", idle, loaded),
            Figure.Compare("the floor program's p99 during a sink, against its idle one", "us", floorIdle, floorLoaded, static series => series.P99),
        ];
    }
}
