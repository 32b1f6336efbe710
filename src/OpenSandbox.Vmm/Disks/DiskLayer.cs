using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.Disks;

/// <summary>
/// One qcow2 layer of a disk, shared by all that build on it: writable while it is the topmost one of a running sandbox, immutable from
/// the moment that another one lies above it or its machine has ended.
/// </summary>
/// <remarks>Thread-safe. Counted: who keeps one takes a reference, and the file is closed with the last.</remarks>
internal sealed class DiskLayer
{
    private int _references = 1;

    private DiskLayer(string id, SafeFileHandle file, bool named)
    {
        Id = id;
        File = file;
        IsNamed = named;
    }

    /// <summary><c>ly-</c> and 16 hexadecimal digits.</summary>
    internal string Id { get; }

    /// <summary>The file; only this class's owner writes it, through QEMU.</summary>
    internal SafeFileHandle File { get; }

    /// <summary>Whether there is a file of this name in the directory of layers; else it goes with its last descriptor.</summary>
    internal bool IsNamed { get; set; }

    /// <summary>A new, empty layer without a name.</summary>
    /// <param name="directory">In whose file system it is.</param>
    /// <param name="virtualBytes">Size of the disk.</param>
    /// <exception cref="IOException">The file system is full, or cannot be written to.</exception>
    internal static DiskLayer CreateUnnamed(string directory, long virtualBytes) =>
        Format(NewId(), UnnamedFile.Create(directory), virtualBytes, named: false);

    /// <summary>A new, empty layer in a file that has a name already.</summary>
    internal static DiskLayer CreateNamed(string id, SafeFileHandle file, long virtualBytes) => Format(id, file, virtualBytes, named: true);

    /// <summary>A layer that exists.</summary>
    internal static DiskLayer Existing(string id, SafeFileHandle file) => new(id, file, named: true);

    /// <summary>A new id.</summary>
    internal static string NewId()
    {
        Span<byte> random = stackalloc byte[8];
        RandomNumberGenerator.Fill(random);
        return $"ly-{Convert.ToHexStringLower(random)}";
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
        return file.IsInvalid ? throw Errno.LastError($"open disk layer {Id}") : file;
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

    private static DiskLayer Format(string id, SafeFileHandle file, long virtualBytes, bool named)
    {
        try
        {
            Qcow2Overlay.Format(file, virtualBytes);
            return new DiskLayer(id, file, named);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }
}
