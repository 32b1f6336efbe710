using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Vmm.State;

internal sealed partial class StateStore
{
    /// <summary>Makes a layer with a name, for a detached sandbox to write to. It is durable, with what <paramref name="write"/> wrote.</summary>
    /// <param name="lease">A lease; it must be held until a manifest names the layer.</param>
    /// <param name="write">Writes its first content: the header of an empty image.</param>
    /// <returns>The layer; dispose it.</returns>
    /// <exception cref="IOException">It could not be made, and is not there.</exception>
    internal LayerFile CreateLayerFile(StateLease lease, Action<SafeFileHandle> write)
    {
        lease.Demand(this);
        string id = StateIds.NewLayer();
        string path = Layout.Layer(id);
        SafeFileHandle file = Libc.Open(
            path, Libc.O_RDWR | Libc.O_CREAT | Libc.O_EXCL | Libc.O_NOFOLLOW | Libc.O_CLOEXEC, StateFiles.PrivateMode);
        if (file.IsInvalid)
        {
            throw Errno.LastError($"create {path}");
        }

        var layer = new LayerFile(id, path, file);
        try
        {
            Fault.Point(FaultPoints.LayerCreated);
            write(file);
            Fault.Point(FaultPoints.LayerWritten);
            DurableFile.Sync(file, path);
            DurableFile.SyncDirectory(Layout.Layers);
            return layer;
        }
        catch
        {
            layer.Discard();
            throw;
        }
    }

    /// <summary>Freezes a layer that has a name: nobody writes to it again, and it is durable. The VM must have moved on to another one.</summary>
    /// <param name="id">The layer.</param>
    /// <returns>Its description, for manifests.</returns>
    /// <exception cref="StateNotFoundException">There is no such layer.</exception>
    /// <exception cref="IOException">It could not be made durable and counts as lost.</exception>
    internal LayerRef FreezeLayer(string id)
    {
        string path = Layout.Layer(id);
        using SafeFileHandle file = OpenLayer(id, readOnly: true);
        Fault.Point(FaultPoints.LayerFreeze);
        Freeze(file, path);
        return new LayerRef { Id = id, File = SavedFiles.Describe(file, StateLayout.LayerName(id)) };
    }

    /// <summary>Freezes a layer without a name and gives it one. It is durable then. The VM must have moved on to another one.</summary>
    /// <param name="lease">A lease; it must be held until a manifest names the layer.</param>
    /// <param name="unnamed">A file made with O_TMPFILE on the file system of the state directory; it remains the caller's to close.</param>
    /// <returns>Its description, for manifests.</returns>
    /// <exception cref="IOException">It could not be linked or made durable; where a name was given, it has been taken away again.</exception>
    internal LayerRef LinkLayer(StateLease lease, SafeFileHandle unnamed)
    {
        lease.Demand(this);
        string id = StateIds.NewLayer();
        string name = StateLayout.LayerName(id);
        string path = Layout.Layer(id);
        if (Libc.Statx(unnamed, out StatxBuffer status) != 0)
        {
            throw Errno.LastError("statx of a layer without a name");
        }

        if ((status.Mode & Libc.S_IFMT) != Libc.S_IFREG || status.LinkCount != 0)
        {
            throw new ArgumentException("it is not a regular file without a name", nameof(unnamed));
        }

        Freeze(unnamed, "a layer without a name");
        using SafeFileHandle directory = StateFiles.OpenDirectory(Layout.Layers);
        Fault.Point(FaultPoints.LayerBeforeLink);
        Link(unnamed, directory, name, path);
        try
        {
            Fault.Point(FaultPoints.LayerLinked);
            DurableFile.SyncDirectory(Layout.Layers);

            // Linking changed its time of change, so that it is described only now.
            return new LayerRef { Id = id, File = SavedFiles.Describe(unnamed, name) };
        }
        catch
        {
            _ = Libc.UnlinkAt(directory, name, 0); // what stays nobody names, and is swept
            throw;
        }
    }

    /// <summary>Opens a layer's file.</summary>
    /// <param name="id">The layer.</param>
    /// <param name="readOnly">Frozen layers can only be opened so.</param>
    /// <exception cref="StateNotFoundException">There is no such layer.</exception>
    /// <exception cref="StateFileException">It is not a file that this library made.</exception>
    /// <exception cref="IOException">It cannot be opened.</exception>
    internal SafeFileHandle OpenLayer(string id, bool readOnly)
    {
        string name = StateLayout.LayerName(id);
        using SafeFileHandle directory = StateFiles.OpenDirectory(Layout.Layers);
        return StateFiles.TryOpenAt(directory, Layout.Layers, name, readOnly ? Libc.O_RDONLY : Libc.O_RDWR)
            ?? throw new StateNotFoundException(Layout.Layer(id), "such layer");
    }

    /// <summary>Opens a frozen layer for reading, after checking that it is what was frozen.</summary>
    /// <param name="expected">The layer, as a manifest has it.</param>
    /// <param name="cancellationToken">Ends the comparison of content, which only a file that was touched needs.</param>
    /// <returns>The file, and its description to be written to the manifest where it differs.</returns>
    /// <exception cref="StateFileException">It is missing or not what was frozen.</exception>
    internal (SafeFileHandle File, LayerRef Description) OpenFrozenLayer(LayerRef expected, CancellationToken cancellationToken)
    {
        expected.Validate("layer");
        if (expected.File is null)
        {
            throw new ArgumentException($"layer {expected.Id} is not frozen", nameof(expected));
        }

        SafeFileHandle file = OpenLayer(expected.Id, readOnly: true);
        try
        {
            SavedFile saved = SavedFiles.Verify(file, expected.File, Layout.Layer(expected.Id), DigestMethod.Sparse, cancellationToken);
            return (file, ReferenceEquals(saved, expected.File) ? expected : expected with { File = saved });
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    private static void Freeze(SafeFileHandle file, string name)
    {
        if (Libc.Statx(file, out StatxBuffer status) != 0)
        {
            throw Errno.LastError($"statx {name}");
        }

        // One that is frozen already is left alone: another manifest may have its time of change.
        if ((status.Mode & ~Libc.S_IFMT) != StateFiles.FrozenMode && Libc.FChMod(file, StateFiles.FrozenMode) != 0)
        {
            throw Errno.LastError($"fchmod {name}");
        }

        DurableFile.Sync(file, name);
    }

    /// <summary>Gives a file without a name one. Nothing is synced.</summary>
    internal static void Link(SafeFileHandle unnamed, SafeFileHandle directory, string name, string path)
    {
        bool held = false;
        int errno;
        try
        {
            unnamed.DangerousAddRef(ref held);
            if (Libc.LinkAt(Libc.AT_FDCWD, $"/proc/self/fd/{unnamed.DangerousGetHandle()}", directory, name, Libc.AT_SYMLINK_FOLLOW) == 0)
            {
                return;
            }

            errno = Marshal.GetLastPInvokeError();
        }
        finally
        {
            if (held)
            {
                unnamed.DangerousRelease();
            }
        }

        throw errno switch
        {
            Errno.ENOENT => new StateFileException(
                path,
                "a layer without a name cannot get one: it was not made with O_TMPFILE, which this file system may lack",
                "Keep the state directory on ext4, XFS, Btrfs or tmpfs (SandboxHostOptions.StateDirectory)"),
            Errno.EXDEV => new StateFileException(
                path,
                "a layer without a name cannot get one: it is on another file system than this directory",
                "Keep all of the state directory on one file system"),
            _ => new IOException($"linkat {path}: {Errno.Describe(errno)}", errno),
        };
    }
}
