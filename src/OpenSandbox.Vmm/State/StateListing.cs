namespace OpenSandbox.Vmm.State;

/// <summary>What a listing found.</summary>
/// <param name="Items">What can be read, in the order of ids.</param>
/// <param name="Damaged">What cannot be.</param>
internal sealed record StateListing<T>(IReadOnlyList<T> Items, IReadOnlyList<DamagedEntry> Damaged)
{
    /// <summary>Whether everything could be read.</summary>
    internal bool IsComplete => Damaged.Count == 0;
}
