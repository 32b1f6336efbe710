namespace OpenSandbox.Vmm.Pools;

/// <summary>Machines for a pool, from the host's golden snapshot.</summary>
internal sealed class GoldenPoolSource(SandboxHost host, SandboxSpec spec) : IPoolSource<PooledMachine>
{
    public PoolKind FindKind() => host.FindPoolKind(spec);

    public long ReadSpareMemory() => host.Context.Memory.Read().Available - ((long)host.Options.HostMemoryReserveMib << 20);

    public Task<PooledMachine> StartAsync(PoolTier tier, CancellationToken cancellationToken) => host.StartPooledAsync(spec, tier, cancellationToken);
}
