using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Disks;

/// <summary>
/// One qcow2 layer of a disk, shared by all that build on it: writable while it is the topmost one of a running sandbox, immutable from
/// the moment that another one lies above it or its machine has ended.
/// </summary>
/// <remarks>
/// <para>Thread-safe. Counted: who keeps one takes a reference, and the file is closed with the last.</para>
/// <para>As long as it is open here its file carries a shared flock(2), which tells the sweeper that it is in use although no manifest may
/// name it: that of an attached sandbox's layer, for one, whose checkpoint has been deleted. (QEMU locks by other means, fcntl(2).)</para>
/// </remarks>
internal sealed class DiskLayer
{
    private readonly Lock _gate = new();
    private LayerRef? _saved;
    private int _references = 1;

    private DiskLayer(string? id, SafeFileHandle file, LayerRef? saved)
    {
        Id = id;
        File = file;
        _saved = saved;
    }

    /// <summary>Its id, once it has a name.</summary>
    internal string? Id { get; private set; }

    /// <summary>The file; it is written through QEMU alone.</summary>
    internal SafeFileHandle File { get; }

    /// <summary>A new, empty layer without a name.</summary>
    /// <param name="directory">In whose file system it is.</param>
    /// <param name="virtualBytes">Size of the disk.</param>
    /// <exception cref="IOException">The file system is full, or cannot be written to.</exception>
    internal static DiskLayer CreateUnnamed(string directory, long virtualBytes)
    {
        SafeFileHandle file = UnnamedFile.Create(directory);
        try
        {
            Qcow2Overlay.Format(file, virtualBytes);
            return Use(null, file, null);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>A layer that has a name, and is being written to.</summary>
    internal static DiskLayer Named(string id, SafeFileHandle file) => Use(id, file, null);

    /// <summary>A layer that has been saved.</summary>
    internal static DiskLayer Frozen(LayerRef saved, SafeFileHandle file) => Use(saved.Id, file, saved);

    /// <summary>Freezes it under a name, durably, unless it is. Nobody writes to it any more, or whoever does must call <see cref="Reopen"/>.</summary>
    /// <param name="store">Where to.</param>
    /// <param name="lease">A lease of it, held until a manifest names the layer.</param>
    /// <returns>Its description, for the manifest.</returns>
    /// <exception cref="IOException">It could not be made durable.</exception>
    internal LayerRef Save(StateStore store, StateLease lease)
    {
        lock (_gate)
        {
            _saved ??= Id is null ? store.LinkLayer(lease, File) : store.FreezeLayer(Id);
            Id = _saved.Id;
            return _saved;
        }
    }

    /// <summary>Computes the digest of what was saved, unless it is known. Reads the whole layer.</summary>
    /// <returns>The description with its digest; nothing if it has not been saved, or is being written to again.</returns>
    /// <exception cref="StateFileException">It is no longer what was saved.</exception>
    internal LayerRef? AddDigest(StateStore store, CancellationToken cancellationToken)
    {
        LayerRef? saved;
        lock (_gate)
        {
            saved = _saved;
        }

        if (saved?.File is not { Sha256: null } file)
        {
            return saved;
        }

        LayerRef digested = saved with
        {
            File = SavedFiles.AddDigest(File, file, store.Layout.Layer(saved.Id), DigestMethod.Sparse, cancellationToken),
        };
        lock (_gate)
        {
            return ReferenceEquals(_saved, saved) ? _saved = digested : null;
        }
    }

    /// <summary>It is written to after all: what was saved of it describes it no longer.</summary>
    internal void Reopen()
    {
        lock (_gate)
        {
            _saved = null;
        }
    }

    /// <summary>
    /// Opens the file anew: with a position and, what matters to QEMU, image locks of its own, which stick to an open file and not to a
    /// process.
    /// </summary>
    /// <param name="write">Whether it is going to be written.</param>
    /// <exception cref="IOException">It cannot be opened.</exception>
    internal SafeFileHandle Open(bool write)
    {
        SafeFileHandle file = Libc.Open(
            $"/proc/self/fd/{File.DangerousGetHandle()}", (write ? Libc.O_RDWR : Libc.O_RDONLY) | Libc.O_CLOEXEC, 0);
        return file.IsInvalid ? throw Errno.LastError("open a disk layer anew") : file;
    }

    /// <summary>Takes a reference.</summary>
    internal DiskLayer Share()
    {
        ObjectDisposedException.ThrowIf(Interlocked.Increment(ref _references) <= 1, this);
        return this;
    }

    /// <summary>Gives a reference back.</summary>
    internal void Release()
    {
        if (Interlocked.Decrement(ref _references) == 0)
        {
            File.Dispose();
        }
    }

    private static DiskLayer Use(string? id, SafeFileHandle file, LayerRef? saved)
    {
        if (Libc.FLock(file, Libc.LOCK_SH | Libc.LOCK_NB) != 0)
        {
            IOException failure = Errno.LastError("flock of a disk layer, which is being removed");
            file.Dispose();
            throw failure;
        }

        return new DiskLayer(id, file, saved);
    }
}
