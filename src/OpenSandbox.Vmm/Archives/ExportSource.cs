using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Archives;

/// <summary>A hibernated sandbox, opened to be written into an archive: whatever is deleted or swept meanwhile, its files stay open.</summary>
/// <param name="Manifest">What the archive says of it.</param>
/// <param name="Snapshot">The snapshot that it sleeps in.</param>
/// <param name="Disks">Its disks.</param>
/// <param name="DeviceState">State of CPUs and devices, if memory is wanted.</param>
/// <param name="Memory">Its pages, if they are wanted.</param>
internal sealed record ExportSource(
    ArchiveManifest Manifest, SnapshotManifest Snapshot, FrozenDisks Disks, SafeFileHandle? DeviceState, SafeFileHandle? Memory) : IDisposable
{
    /// <summary>Writes the entries.</summary>
    /// <param name="writer">Where to.</param>
    /// <param name="scratch">A directory with room for one disk's changes.</param>
    /// <param name="cancellationToken">Stops.</param>
    /// <exception cref="StateFileException">A file is no longer what was saved.</exception>
    /// <exception cref="Compression.DamagedFileException">A layer is damaged.</exception>
    /// <exception cref="IOException">A disk is full, or a file cannot be read or written.</exception>
    internal async Task WriteAsync(ArchiveWriter writer, string scratch, CancellationToken cancellationToken)
    {
        if (Snapshot.Memory is SnapshotMemory memory && DeviceState is not null && Memory is not null)
        {
            await AddAsync(writer, ArchiveNames.DeviceState, DeviceState, memory.DeviceState, cancellationToken).ConfigureAwait(false);
            await AddAsync(writer, ArchiveNames.Memory, Memory, memory.Memory, cancellationToken).ConfigureAwait(false);
        }

        await AddAsync(writer, ArchiveManifest.RootfsName, Disks.Rootfs, scratch, cancellationToken).ConfigureAwait(false);
        await AddAsync(writer, ArchiveManifest.WorkspaceName, Disks.Workspace, scratch, cancellationToken).ConfigureAwait(false);
    }

    public void Dispose()
    {
        Disks.Dispose();
        DeviceState?.Dispose();
        Memory?.Dispose();
    }

    private static async Task AddAsync(
        ArchiveWriter writer, string name, SafeFileHandle file, SavedFile saved, CancellationToken cancellationToken)
    {
        ArchiveEntry entry = await writer.AddAsync(name, file, saved.Bytes, cancellationToken).ConfigureAwait(false);
        if (saved.Sha256 != entry.Sha256)
        {
            throw new StateFileException(
                name, $"its digest is {entry.Sha256} instead of {saved.Sha256}", "It is not exported. Export the disks alone, or restore it from a backup");
        }
    }

    /// <summary>All layers of a disk go in as one, which this library has written: what QEMU wrote into its own tables stays here.</summary>
    private static async Task AddAsync(ArchiveWriter writer, string name, FrozenDisk? disk, string scratch, CancellationToken cancellationToken)
    {
        if (disk is null)
        {
            return;
        }

        using SafeFileHandle flat = UnnamedFile.Create(scratch);
        if (disk.Layers.Count == 0)
        {
            Qcow2Overlay.Format(flat, disk.VirtualBytes);
        }
        else
        {
            Qcow2Layer[] layers = [.. disk.Layers.Select(layer => Qcow2Layer.Open(layer.File, disk.VirtualBytes))];
            await Qcow2Flattener.FlattenAsync(layers, flat, null, cancellationToken).ConfigureAwait(false);
        }

        await writer.AddAsync(name, flat, RandomAccess.GetLength(flat), cancellationToken).ConfigureAwait(false);
    }
}
