using System.Text;
using OpenSandbox.Qmp;
using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.Qemu;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Vmm.Lifecycle;

/// <summary>
/// Puts a fresh layer on top of every disk of a running machine, so that what was written until then is frozen: O(1), nothing is copied.
/// Prepared while the guest runs, carried out while it stands still.
/// </summary>
/// <remarks>Not thread-safe.</remarks>
internal sealed class DiskSwitch
{
    private readonly QmpClient _qmp;
    private readonly List<(SandboxDisk Disk, DiskLayer Layer, string Node, long FdSet)> _prepared = [];
    private readonly List<(DiskLayer Layer, long Bytes)> _switched = [];

    private DiskSwitch(QmpClient qmp) => _qmp = qmp;

    /// <summary>Gives QEMU the new layers, which nothing uses yet.</summary>
    /// <param name="qmp">The monitor.</param>
    /// <param name="disks">The disks.</param>
    /// <param name="newLayer">Makes an empty layer of so many bytes.</param>
    /// <param name="cancellationToken">Stops; what was given is taken back.</param>
    /// <exception cref="QmpException">QEMU refused or is gone.</exception>
    /// <exception cref="IOException">A layer cannot be made.</exception>
    internal static async Task<DiskSwitch> PrepareAsync(
        QmpClient qmp, SandboxDisks disks, Func<long, DiskLayer> newLayer, CancellationToken cancellationToken)
    {
        var prepared = new DiskSwitch(qmp);
        try
        {
            foreach (SandboxDisk disk in disks.All)
            {
                await prepared.AddAsync(disk, newLayer(disk.Below.VirtualBytes), cancellationToken).ConfigureAwait(false);
            }

            return prepared;
        }
        catch
        {
            await prepared.DiscardAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>The layer that gets on top of a disk; nothing if it is there already, or there is none for it.</summary>
    internal DiskLayer? LayerFor(SandboxDisk disk) => _prepared.Find(entry => entry.Disk == disk).Layer;

    /// <summary>Carries it out, for all disks at once or for none. The guest stands still.</summary>
    /// <exception cref="QmpException">QEMU refused, and no disk was switched, or it is gone.</exception>
    internal async Task SwitchAsync(CancellationToken cancellationToken)
    {
        if (_prepared.Count == 0)
        {
            return;
        }

        foreach ((_, DiskLayer layer, _, _) in _prepared)
        {
            _switched.Add((layer, RandomAccess.GetLength(layer.File)));
        }

        string actions = string.Join(',', _prepared.Select(static entry =>
            $$$"""{"type":"blockdev-snapshot","data":{"node":"{{{entry.Disk.Node}}}","overlay":"{{{entry.Node}}}"}}"""));
        await _qmp.ExecuteAsync("transaction", Json($$"""{"actions":[{{actions}}]}"""), cancellationToken: cancellationToken).ConfigureAwait(false);
        foreach ((SandboxDisk disk, DiskLayer layer, _, long fdSet) in _prepared)
        {
            disk.Switch(layer, fdSet);
        }

        _prepared.Clear();
    }

    /// <summary>Whether the guest has written to the disks since the switch; the machine is stopped. Every write adds to an empty layer's file.</summary>
    /// <exception cref="IOException">A file cannot be looked at.</exception>
    internal bool IsWritten() => _switched.Exists(static entry => RandomAccess.GetLength(entry.Layer.File) != entry.Bytes);

    /// <summary>Takes back what was not switched to. Never fails.</summary>
    internal async Task DiscardAsync()
    {
        foreach ((_, DiskLayer layer, string node, long fdSet) in _prepared)
        {
            try
            {
                await _qmp.BlockdevDeleteAsync(node, cancellationToken: CancellationToken.None).ConfigureAwait(false);
                await _qmp.BlockdevDeleteAsync(FileNode(node), cancellationToken: CancellationToken.None).ConfigureAwait(false);
                await _qmp.RemoveFdAsync(fdSet, cancellationToken: CancellationToken.None).ConfigureAwait(false);
            }
            catch (Exception gone) when (gone is QmpException or ObjectDisposedException)
            {
                // Nothing uses it, QEMU may not even have it, or be gone: then it is gone with it, and so may the connection be.
                continue;
            }
            finally
            {
                layer.Release();
            }
        }

        _prepared.Clear();
    }

    private static string FileNode(string node) => $"{node}-file";

    private async Task AddAsync(SandboxDisk disk, DiskLayer layer, CancellationToken cancellationToken)
    {
        QmpAddedDescriptor added;
        try
        {
            // QEMU flushes every disk when the machine is stopped: what there is of the new layer's file is on the host's disk by then.
            await Task.Run(() => DurableFile.Sync(layer.File, "a new disk layer"), cancellationToken).ConfigureAwait(false);
            using Microsoft.Win32.SafeHandles.SafeFileHandle file = layer.Open(write: true);
            added = await _qmp.AddFdAsync(file, cancellationToken: cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            layer.Release();
            throw;
        }

        if (disk.ActiveFdSet == 0)
        {
            // As below, for the layer that QEMU was started with.
            using Microsoft.Win32.SafeHandles.SafeFileHandle first = disk.Active.Open(write: false);
            await _qmp.AddFdAsync(first, QemuCommandLine.OverlayFdSet(disk.Name), cancellationToken: cancellationToken).ConfigureAwait(false);
        }

        string node = disk.NodeFor(layer);
        _prepared.Add((disk, layer, node, added.FdSetId));

        // When a layer is frozen QEMU opens its file anew, for reading only, and finds a descriptor only if there is one of that kind.
        using (Microsoft.Win32.SafeHandles.SafeFileHandle readable = layer.Open(write: false))
        {
            await _qmp.AddFdAsync(readable, added.FdSetId, cancellationToken: cancellationToken).ConfigureAwait(false);
        }

        await _qmp.BlockdevAddAsync(
            Json($$"""{"driver":"file","node-name":"{{FileNode(node)}}","filename":"/dev/fdset/{{added.FdSetId}}","discard":"unmap"}"""),
            cancellationToken: cancellationToken).ConfigureAwait(false);
        await _qmp.BlockdevAddAsync(
            Json($$"""{"driver":"qcow2","node-name":"{{node}}","file":"{{FileNode(node)}}","backing":null,"discard":"unmap","detect-zeroes":"unmap"}"""),
            cancellationToken: cancellationToken).ConfigureAwait(false);
    }

    private static byte[] Json(string text) => Encoding.UTF8.GetBytes(text);
}
