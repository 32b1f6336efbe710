using System.Collections.Concurrent;
using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm;

/// <content>Work that nobody waits for. It ends with the host.</content>
public sealed partial class SandboxHost
{
    private static readonly TimeSpan s_sweepInterval = TimeSpan.FromSeconds(5);

    private readonly ConcurrentDictionary<Task, byte> _background = new();
    private long _lastSweep;

    /// <summary>
    /// Removes what no manifest names any more. If an operation is under way it is left to the next time: what that makes nothing names yet.
    /// </summary>
    internal void SweepSoon() => RunInBackground(_ =>
    {
        // All manifests are read for it: what is left by the rest of a burst goes with the next one.
        long now = Options.TimeProvider.GetTimestamp();
        long last = Interlocked.Exchange(ref _lastSweep, now);
        if (last != 0 && Options.TimeProvider.GetElapsedTime(last, now) < s_sweepInterval)
        {
            Interlocked.CompareExchange(ref _lastSweep, last, now);
            return;
        }

        if (StateSweeper.TrySweep(Store) is SweepReport report)
        {
            foreach (SweepEntry kept in report.Kept)
            {
                VmmLog.SweepKept(Logger, kept.Path, kept.Reason);
            }
        }
    });

    /// <summary>Computes the digests of a snapshot's layers that have none yet, so that a copy of them can be told from damage.</summary>
    /// <param name="snapshotId">The snapshot.</param>
    /// <param name="disks">Its disks; taken over.</param>
    internal void DigestSoon(string snapshotId, FrozenDisks disks) => RunInBackground(token =>
    {
        using (disks)
        {
            var digests = new Dictionary<string, SavedFile>(StringComparer.Ordinal);
            foreach (DiskLayer layer in disks.AllLayers)
            {
                if (layer.AddDigest(Store, token) is LayerRef { File: SavedFile file } saved)
                {
                    digests[saved.Id] = file;
                }
            }

            Store.AmendSnapshot(snapshotId, manifest => manifest with
            {
                Disks = new DiskChains { Rootfs = Amend(manifest.Disks.Rootfs), Workspace = Amend(manifest.Disks.Workspace) },
            });

            DiskChain? Amend(DiskChain? chain) => chain is null
                ? null
                : chain with { Layers = [.. chain.Layers.Select(layer => layer with { File = digests.GetValueOrDefault(layer.Id, layer.File!) })] };
        }
    });

    internal void RunInBackground(Action<CancellationToken> work)
    {
        CancellationToken closing = _closing.Token;
        var running = new Task(
            () =>
            {
                try
                {
                    work(closing);
                }
                catch (StateNotFoundException gone)
                {
                    VmmLog.BackgroundEnded(Logger, gone.Message); // deleted meanwhile
                }
                catch (OperationCanceledException ended)
                {
                    VmmLog.BackgroundEnded(Logger, ended.Message);
                }
                catch (IOException failure)
                {
                    VmmLog.SweepFailed(Logger, Store.Layout.Root, failure);
                }
            },
            CancellationToken.None,
            TaskCreationOptions.LongRunning);
        _background[running] = 0;
        _ = running.ContinueWith(
            ended => _background.TryRemove(ended, out _), CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        running.Start(TaskScheduler.Default);
    }
}
