namespace OpenSandbox.Vmm.Pools;

/// <summary>How far a machine of a pool has come.</summary>
internal enum PoolTier
{
    /// <summary>QEMU has started and waits for the end of its state.</summary>
    Parked,

    /// <summary>The guest has answered, and has been stopped.</summary>
    Hot,
}
