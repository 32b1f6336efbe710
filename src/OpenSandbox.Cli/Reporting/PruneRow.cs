using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Reporting;

/// <summary>What was pruned, as <c>prune --json</c> prints it.</summary>
/// <param name="DryRun">Whether nothing was removed in fact.</param>
/// <param name="Removed">What went, or would have.</param>
/// <param name="Kept">What stayed, and why.</param>
/// <param name="Problems">What could not be read.</param>
/// <param name="FreedBytes">Bytes on the disk.</param>
internal sealed record PruneRow(
    bool DryRun, IReadOnlyList<PrunedEntry> Removed, IReadOnlyList<PrunedEntry> Kept, IReadOnlyList<string> Problems, long FreedBytes);
