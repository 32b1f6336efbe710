using OpenSandbox.Vmm.Pools;

namespace OpenSandbox.PerfHarness.Rows;

/// <summary>All rows, in the specification's order.</summary>
internal static class RowCatalog
{
    internal static IReadOnlyList<Row> All { get; } =
    [
        new ColdCreateRow(),
        new ImageCreateRow(),
        new PooledCreateRow("P3", "create from a parked QEMU", "<= 1.15x", PoolTier.Parked, 1.15),
        new PooledCreateRow("P4", "create from a hot one", "<= 1.3x", PoolTier.Hot, 1.3),
        new PingRow(),
        new ExecRow(),
        new SmallFileRow(),
        new TransferRow(),
        new PingUnderLoadRow(),
        new ThroughputRow(),
        new CheckpointRow(),
        new ForkRow(),
        new HibernatedBytesRow(),
        new WakeRow(),
        new IdleMemoryRow(),
        new AllocationRow(),
        new MemoryGrowRow(),
        new HttpRow(),
        new TunnelRow(),
        new IdlePagesRow(),
    ];

    /// <summary>The rows of some ids, each once, in the specification's order.</summary>
    /// <exception cref="ArgumentException">There is no such row.</exception>
    internal static IReadOnlyList<Row> Choose(IReadOnlyList<string>? ids)
    {
        foreach (string id in ids ?? [])
        {
            if (!All.Any(row => row.Id.Equals(id, StringComparison.OrdinalIgnoreCase)))
            {
                throw new ArgumentException($"there is no row '{id}'; --list shows them");
            }
        }

        return [.. All.Where(row => ids is null || ids.Contains(row.Id, StringComparer.OrdinalIgnoreCase))];
    }
}
