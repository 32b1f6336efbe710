using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.State;

/// <summary>A snapshot that is being made. Disposing it before it has been published removes it.</summary>
internal sealed class SnapshotStaging : IDisposable
{
    private readonly StateStore _store;
    private readonly StateLease _lease;
    private bool _ended;

    internal SnapshotStaging(StateStore store, StateLease lease, string id, string directory)
    {
        _store = store;
        _lease = lease;
        Id = id;
        DirectoryPath = directory;
    }

    /// <summary>The id that the snapshot will have.</summary>
    internal string Id { get; }

    /// <summary>Where its files are meanwhile.</summary>
    internal string DirectoryPath { get; }

    /// <summary>Makes an empty file of the snapshot, for reading and writing.</summary>
    /// <exception cref="IOException">There is one of this name, or it cannot be made.</exception>
    internal SafeFileHandle CreateFile(string name)
    {
        if (!SavedFile.IsName(name))
        {
            throw new ArgumentException($"file name '{name}': 1 to 64 lower-case letters, digits, dots and hyphens", nameof(name));
        }

        string path = Path.Combine(DirectoryPath, name);
        SafeFileHandle file = Libc.Open(
            path, Libc.O_RDWR | Libc.O_CREAT | Libc.O_EXCL | Libc.O_NOFOLLOW | Libc.O_CLOEXEC, StateFiles.PrivateMode);
        return file.IsInvalid ? throw Errno.LastError($"create {path}") : file;
    }

    /// <summary>Makes a file without a name one of the snapshot; nobody writes to it again.</summary>
    /// <param name="unnamed">A file made with O_TMPFILE on the file system of the state directory; it remains the caller's to close.</param>
    /// <param name="name">Its name.</param>
    /// <param name="sha256">Its digest.</param>
    /// <exception cref="IOException">It could not be linked.</exception>
    internal SavedFile Link(SafeFileHandle unnamed, string name, string sha256)
    {
        if (!SavedFile.IsName(name))
        {
            throw new ArgumentException($"file name '{name}': 1 to 64 lower-case letters, digits, dots and hyphens", nameof(name));
        }

        using SafeFileHandle directory = StateFiles.OpenDirectory(DirectoryPath);
        StateStore.Link(unnamed, directory, name, Path.Combine(DirectoryPath, name));
        return Finish(unnamed, name, sha256);
    }

    /// <summary>Describes a file that has been written to the end, for the manifest, and forbids to write to it again.</summary>
    /// <param name="file">The file, as <see cref="CreateFile"/> gave it.</param>
    /// <param name="name">Its name.</param>
    /// <param name="sha256">Its digest, where that is known already; it can be added later (<see cref="StateStore.AmendSnapshot"/>).</param>
    internal SavedFile Finish(SafeFileHandle file, string name, string? sha256 = null)
    {
        if (Libc.FChMod(file, StateFiles.FrozenMode) != 0)
        {
            throw Errno.LastError($"fchmod {Path.Combine(DirectoryPath, name)}");
        }

        return SavedFiles.Describe(file, name, sha256);
    }

    /// <summary>
    /// Syncs the files, writes the manifest and gives the directory its name. A checkpoint exists from then on; a hibernation snapshot does
    /// once its sandbox's manifest names it, and the lease is to be held until then.
    /// </summary>
    /// <param name="manifest">The manifest, with <see cref="Id"/>; all layers that it names are there.</param>
    /// <exception cref="ArgumentException">The manifest is wrong.</exception>
    /// <exception cref="StateConflictException">A file is missing, or was changed after it was described.</exception>
    /// <exception cref="StateUncertainException">The snapshot is there but not durable: see there.</exception>
    /// <exception cref="IOException">It could not be published, and is not.</exception>
    internal void Publish(SnapshotManifest manifest)
    {
        ObjectDisposedException.ThrowIf(_ended, this);
        _lease.Demand(_store);
        if (manifest.Id != Id)
        {
            throw new ArgumentException($"the manifest is of snapshot {manifest.Id}, not of {Id}", nameof(manifest));
        }

        _store.PublishSnapshot(DirectoryPath, manifest);
        _ended = true;
    }

    public void Dispose()
    {
        if (!_ended)
        {
            _ended = true;
            StateFiles.RemoveTree(DirectoryPath);
        }
    }
}
