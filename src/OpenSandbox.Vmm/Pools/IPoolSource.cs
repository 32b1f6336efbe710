namespace OpenSandbox.Vmm.Pools;

/// <summary>Where a pool's machines come from.</summary>
/// <typeparam name="TMachine">The machines.</typeparam>
internal interface IPoolSource<TMachine>
{
    /// <summary>What machines of the pool are started for now: names of images may point at others tomorrow.</summary>
    /// <exception cref="SandboxImageException">There is no such image.</exception>
    PoolKind FindKind();

    /// <summary>Available memory of the host above what is kept free, bytes; negative below it.</summary>
    long ReadSpareMemory();

    /// <summary>Starts a machine.</summary>
    /// <param name="tier">How far it is to come.</param>
    /// <param name="cancellationToken">Ends what has been started and leaves nothing behind.</param>
    /// <exception cref="SandboxException">It did not come up; nothing is left of it.</exception>
    Task<TMachine> StartAsync(PoolTier tier, CancellationToken cancellationToken);
}
