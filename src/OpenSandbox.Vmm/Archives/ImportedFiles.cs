using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Compression;
using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.Snapshots;
using OpenSandbox.Vmm.State;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Vmm.Archives;

/// <summary>
/// What an archive had in it, in files without names: whatever ends the import before they get some, nothing is left of them.
/// </summary>
internal sealed class ImportedFiles : IDisposable
{
    private const long MaxDeviceState = 64 << 20;

    private readonly Dictionary<string, (SafeFileHandle File, ArchiveEntry? Entry)> _files = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _digests = new(StringComparer.Ordinal);

    private ImportedFiles()
    {
    }

    /// <summary>The archive, once all of it has been read and found right.</summary>
    internal ArchiveSummary Summary { get; private set; } = null!;

    /// <summary>Unpacks what is wanted of an archive, and checks the archive to its end.</summary>
    /// <param name="reader">The archive; its manifest has been read.</param>
    /// <param name="manifest">That manifest.</param>
    /// <param name="memory">Whether the memory is wanted.</param>
    /// <param name="layout">Where the files are to get names.</param>
    /// <param name="cancellationToken">Stops.</param>
    /// <exception cref="DamagedFileException">The archive, or something in it, is damaged or not accepted.</exception>
    /// <exception cref="IOException">It cannot be read, or the disk is full.</exception>
    internal static async Task<ImportedFiles> ReadAsync(
        ArchiveReader reader, ArchiveManifest manifest, bool memory, StateLayout layout, CancellationToken cancellationToken)
    {
        var files = new ImportedFiles();
        try
        {
            IReadOnlyList<string> expected = manifest.EntryNames;
            int index = 0;
            while (await reader.NextAsync(cancellationToken).ConfigureAwait(false) is string name)
            {
                if (index == expected.Count || expected[index] != name)
                {
                    throw new ArchiveException($"its entry {index} is '{name}', which its manifest does not say");
                }

                index++;
                bool isMemory = name is ArchiveNames.DeviceState or ArchiveNames.Memory;
                if (!isMemory || memory)
                {
                    SafeFileHandle file = UnnamedFile.Create(isMemory ? layout.Snapshots : layout.Layers);
                    files._files[name] = (file, null);
                    files._files[name] = (file, await reader.ExtractAsync(file, cancellationToken).ConfigureAwait(false));
                }
            }

            if (index != expected.Count)
            {
                throw new ArchiveException($"its entry '{expected[index]}' is missing");
            }

            files.Summary = reader.Summary;
            await files.CheckAsync(manifest, cancellationToken).ConfigureAwait(false);
            return files;
        }
        catch
        {
            files.Dispose();
            throw;
        }
    }

    /// <summary>Gives the memory names in a snapshot. Nothing is synced.</summary>
    /// <returns>How it stands in the snapshot's manifest; nothing if there is none.</returns>
    internal SnapshotMemory? LinkMemory(SnapshotStaging staging, ArchiveManifest manifest)
    {
        if (manifest.Memory is not ArchiveMemory memory
            || !_files.TryGetValue(ArchiveNames.DeviceState, out (SafeFileHandle File, ArchiveEntry? Entry) state)
            || !_files.TryGetValue(ArchiveNames.Memory, out (SafeFileHandle File, ArchiveEntry? Entry) pages))
        {
            return null;
        }

        return new SnapshotMemory
        {
            DeviceState = staging.Link(state.File, SnapshotFiles.DeviceStateName, state.Entry!.Sha256),
            Memory = staging.Link(pages.File, SnapshotFiles.MemoryName, pages.Entry!.Sha256),
            PluggedBytes = memory.PluggedBytes,
            RequestedPluggedBytes = memory.RequestedPluggedBytes,
            RamPages = memory.RamPages,
            PluggedPages = memory.PluggedPages,
        };
    }

    /// <summary>Makes the disks layers of a state directory, durably.</summary>
    /// <returns>How they stand in manifests.</returns>
    internal DiskChains LinkDisks(StateStore store, StateLease lease, ArchiveManifest manifest)
    {
        return new DiskChains
        {
            Rootfs = Link(manifest.Rootfs, ArchiveManifest.RootfsName),
            Workspace = Link(manifest.Workspace, ArchiveManifest.WorkspaceName),
        };

        DiskChain? Link(ArchiveDisk? disk, string name)
        {
            if (disk is null)
            {
                return null;
            }

            LayerRef layer = store.LinkLayer(lease, _files[name].File);
            layer = layer with { File = layer.File! with { Sha256 = _digests[name] } };
            return new DiskChain { ImageDigest = disk.ImageDigest, VirtualBytes = disk.VirtualBytes, Layers = [layer] };
        }
    }

    public void Dispose()
    {
        foreach ((SafeFileHandle file, _) in _files.Values)
        {
            file.Dispose();
        }
    }

    /// <summary>
    /// Checks the meaning of what was unpacked: the digests are those of the archive's maker, whom nobody trusts. No byte of a layer may make QEMU
    /// open a file, and no page may lie outside of the guest.
    /// </summary>
    private async Task CheckAsync(ArchiveManifest manifest, CancellationToken cancellationToken)
    {
        if (_files.TryGetValue(ArchiveNames.DeviceState, out (SafeFileHandle File, ArchiveEntry? Entry) state)
            && state.Entry!.Length is 0 or > MaxDeviceState)
        {
            throw new ArchiveException($"a state of devices of {state.Entry.Length} bytes; 1 to {MaxDeviceState} are accepted");
        }

        if (_files.TryGetValue(ArchiveNames.Memory, out (SafeFileHandle File, ArchiveEntry? Entry) pages))
        {
            MemoryFileLayout layout = SavedMachine.LayoutOf(manifest.GoldenReference.Shape);
            await MemoryFileReader.VerifyAsync(pages.File, pages.Entry!.Length, layout, null, cancellationToken).ConfigureAwait(false);
        }

        await Task.Run(
            () =>
            {
                Check(manifest.Rootfs, ArchiveManifest.RootfsName, cancellationToken);
                Check(manifest.Workspace, ArchiveManifest.WorkspaceName, cancellationToken);
            },
            cancellationToken).ConfigureAwait(false);
    }

    private void Check(ArchiveDisk? disk, string name, CancellationToken cancellationToken)
    {
        if (disk is null)
        {
            return;
        }

        (SafeFileHandle file, ArchiveEntry? entry) = _files[name];
        Qcow2Layer.Open(file, disk.VirtualBytes).Measure(cancellationToken);
        _digests[name] = SparseDigest.Compute(file, entry!.Length, null, cancellationToken);
    }
}
