namespace OpenSandbox.Vmm.Pools;

/// <summary>How many machines of each tier a pool should have.</summary>
/// <param name="Hot">Hot ones.</param>
/// <param name="Parked">Parked ones.</param>
internal readonly record struct PoolSize(int Hot, int Parked)
{
    /// <summary>What the options ask for at a demand.</summary>
    /// <param name="options">The pool's options.</param>
    /// <param name="demand">How many machines are expected to be asked for at once.</param>
    internal static PoolSize For(SandboxPoolOptions options, int demand)
    {
        if (!options.Adaptive)
        {
            return new PoolSize(options.HotTarget, options.ParkedTarget);
        }

        // Hot ones are the better answer: parked ones are for the demand beyond what may be kept hot.
        int hot = Math.Clamp(demand, options.HotMinimum, options.HotTarget);
        return new PoolSize(hot, Math.Clamp(demand - hot, options.ParkedMinimum, options.ParkedTarget));
    }
}
