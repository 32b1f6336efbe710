using OpenSandbox.Vmm.Qemu;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm;

/// <content>Removing what nobody needs.</content>
public sealed partial class SandboxHost
{
    /// <summary>
    /// Removes what nothing in the state directory needs: remains of interrupted operations, layers and hibernation snapshots that no sandbox or
    /// checkpoint names, VMs that no sandbox owns, images without a name, and golden snapshots other than this host's that nothing saved is a
    /// difference to. Sandboxes and checkpoints themselves are never removed, nor anything that a host uses.
    /// </summary>
    /// <param name="dryRun">Only says what would be removed.</param>
    /// <param name="cancellationToken">Before something is removed. What has been removed stays so.</param>
    /// <returns>What was removed.</returns>
    /// <remarks>Waits until no operation is under way in any process that shares the state directory.</remarks>
    /// <exception cref="SandboxSnapshotException">The state directory cannot be read.</exception>
    public async Task<PruneReport> PruneAsync(bool dryRun = false, CancellationToken cancellationToken = default)
    {
        try
        {
            var removed = new List<SweepEntry>();
            var problems = new List<string>();
            await PruneMachinesAsync(dryRun, removed, problems, cancellationToken).ConfigureAwait(false);
            var options = new SweepOptions
            {
                CurrentGoldenKeys = new HashSet<string>(StringComparer.Ordinal) { _golden.Key },
                DryRun = dryRun,
            };
            SweepReport report = await StateSweeper.SweepAsync(Store, options, cancellationToken).ConfigureAwait(false);
            removed.AddRange(report.Removed);
            removed.AddRange(await Images.SweepAsync(dryRun, cancellationToken).ConfigureAwait(false));
            problems.AddRange(report.Damaged.Select(static damaged => $"{damaged.Path}: {damaged.Problem}"));
            return new PruneReport
            {
                Removed = [.. removed.Select(Describe)],
                Kept = [.. report.Kept.Select(Describe)],
                Problems = problems,
            };
        }
        catch (IOException unreadable)
        {
            throw new SandboxSnapshotException(null, "the state directory cannot be pruned", [unreadable.Message], unreadable);
        }
    }

    private static PrunedEntry Describe(SweepEntry entry) =>
        new(entry.Kind.ToString().ToLowerInvariant(), entry.Path, entry.Reason, entry.Bytes);

    private async Task PruneMachinesAsync(bool dryRun, List<SweepEntry> removed, List<string> problems, CancellationToken cancellationToken)
    {
        if (!Directory.Exists(VmDirectory))
        {
            return;
        }

        // Before the manifests are read: a machine that is started later is not looked at.
        string[] directories = Directory.GetDirectories(VmDirectory);
        StateListing<SandboxManifest> listing = Store.ListSandboxes();
        if (!listing.IsComplete)
        {
            problems.Add("VMs without a sandbox are not ended while there are manifests that cannot be read");
            return;
        }

        HashSet<string> named = [.. listing.Items.Select(static manifest => manifest.Vm?.RuntimeDirectory).OfType<string>()];
        foreach (string directory in directories.Where(directory => !named.Contains(directory)))
        {
            try
            {
                if (dryRun ? !VmSweeper.IsInUse(directory) : await VmSweeper.SweepAsync(_context, directory, cancellationToken).ConfigureAwait(false))
                {
                    removed.Add(new SweepEntry(SweepKind.Machine, directory, "a VM that no sandbox owns"));
                }
            }
            catch (Exception failure) when (failure is IOException or InvalidDataException)
            {
                problems.Add($"{directory}: {failure.Message}");
            }
        }
    }
}
