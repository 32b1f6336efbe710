using OpenSandbox.PerfHarness.Floor;
using OpenSandbox.PerfHarness.Measuring;
using OpenSandbox.Vmm;

namespace OpenSandbox.PerfHarness.Rows;

/// <summary>P16: what the garbage collector gets to do, over all threads of the process.</summary>
internal sealed class AllocationRow() : Row("P16", ".NET bytes allocated per exec / per create", "<= 2 KiB / <= 64 KiB")
{
    private const int WarmupExecs = 50;

    internal override async Task<IReadOnlyList<Figure>> RunAsync(Bench bench, CancellationToken cancellationToken)
    {
        int execs = bench.Count(500);
        int creates = bench.Count(30);
        Sandbox sandbox = await bench.CreateAsync(Bench.Bare, cancellationToken).ConfigureAwait(false);
        double perExec;
        await using (sandbox.ConfigureAwait(false))
        {
            await ExecAsync(sandbox, WarmupExecs, cancellationToken).ConfigureAwait(false);
            long before = GC.GetTotalAllocatedBytes(precise: true);
            await ExecAsync(sandbox, execs, cancellationToken).ConfigureAwait(false);
            perExec = (GC.GetTotalAllocatedBytes(precise: true) - before) / 1_024.0 / execs;
        }

        var create = new Series(Bench.Warmups);
        for (int i = 0; i < creates + Bench.Warmups; i++)
        {
            Bench.Progress($"{Id} create {i + 1}/{creates}");
            long before = GC.GetTotalAllocatedBytes(precise: true);
            Sandbox made = await bench.Host.CreateAsync(Bench.Bare, cancellationToken).ConfigureAwait(false);
            create.Add((GC.GetTotalAllocatedBytes(precise: true) - before) / 1_024.0);
            await made.DisposeAsync().ConfigureAwait(false);
        }

        return
        [
            new Figure { Name = "per exec", Unit = "KiB", Floor = 0, Ours = perExec, Goal = "<= 2 KiB", Holds = perExec <= 2 },
            Figure.OfOurs("per create", "KiB", create) with { Floor = 0, Goal = "<= 64 KiB", Holds = create.P50 <= 64 },
        ];
    }

    private static async Task ExecAsync(Sandbox sandbox, int count, CancellationToken cancellationToken)
    {
        for (int i = 0; i < count; i++)
        {
            await sandbox.ExecAsync(FloorFiles.Command, cancellationToken: cancellationToken).ConfigureAwait(false);
        }
    }
}
