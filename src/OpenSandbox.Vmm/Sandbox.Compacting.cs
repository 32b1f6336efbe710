using OpenSandbox.Vmm.Compression;
using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.Lifecycle;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm;

/// <content>Merging the layers of the hibernated sandbox, while nobody wants anything of it.</content>
public sealed partial class Sandbox
{
    /// <summary>From so many layers on it is waited for instead of being given up for the next operation.</summary>
    private const int LayersThatMustBeMerged = 24;

    private CancellationTokenSource? _compactionEnd;
    private Task _compaction = Task.CompletedTask;

    /// <summary>Begins to merge layers, if they are many. The disks are taken over.</summary>
    private void BeginCompaction(FrozenDisks disks)
    {
        if (!Compaction.IsDue(disks))
        {
            disks.Dispose();
            return;
        }

        bool must = disks.AllLayers.Count() > LayersThatMustBeMerged;
        _compactionEnd = new CancellationTokenSource();
        CancellationToken end = must ? CancellationToken.None : _compactionEnd.Token;
        _compaction = Task.Run(() => CompactAsync(disks, end), CancellationToken.None);
    }

    /// <summary>Ends the merging before anything else is done with the sandbox.</summary>
    private async Task EndCompactionAsync()
    {
        if (_compactionEnd is CancellationTokenSource end)
        {
            await end.CancelAsync().ConfigureAwait(false);
            await _compaction.ConfigureAwait(false);
            end.Dispose();
            _compactionEnd = null;
        }
    }

    private async Task CompactAsync(FrozenDisks disks, CancellationToken cancellationToken)
    {
        try
        {
            using (disks)
            {
                using StateLease lease = await _host.Store.EnterAsync(cancellationToken).ConfigureAwait(false);
                DiskChains chains = await Compaction.RunAsync(disks, _host.Store, lease, cancellationToken).ConfigureAwait(false);
                Fault.Point(FaultPoints.CompactionWritten);
                Record(manifest => manifest with { Disks = chains });
            }

            VmmLog.LayersMerged(_host.Logger, Id);
        }
        catch (OperationCanceledException ended)
        {
            VmmLog.BackgroundEnded(_host.Logger, ended.Message);
        }
        catch (Exception failure) when (failure is IOException or DamagedFileException)
        {
            // The layers are there as before: it is tried again after the next hibernation.
            VmmLog.SweepFailed(_host.Logger, _host.Store.Layout.Layers, failure);
        }
    }
}
