namespace OpenSandbox.Vmm.Pools;

/// <summary>A machine that waits to become a sandbox. Disposing it ends it and frees everything; never fails.</summary>
internal interface IPooledMachine : IAsyncDisposable
{
    /// <summary>What it was started for.</summary>
    PoolKind Kind { get; }

    /// <summary>How far it has come.</summary>
    PoolTier Tier { get; }

    /// <summary>Completes when it has ended, whoever ended it. Never fails.</summary>
    Task Exited { get; }
}
