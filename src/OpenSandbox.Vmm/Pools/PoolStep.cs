namespace OpenSandbox.Vmm.Pools;

/// <summary>What a pool does next.</summary>
/// <param name="Start">The tier of a machine to start; none: wait.</param>
/// <param name="Wait">How long to wait at most.</param>
/// <param name="AtRest">Whether there is nothing to do but to look again from time to time.</param>
internal readonly record struct PoolStep(PoolTier? Start, TimeSpan Wait, bool AtRest);
