using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;
using OpenSandbox.Vmm.Processes;

namespace OpenSandbox.Vmm.Qemu;

/// <summary>
/// The directory of one detached VM: its sockets and the copy of its record. Whoever starts, uses, adopts or sweeps the VM has it locked
/// meanwhile (flock(2) on the directory, which the kernel drops with its holder).
/// </summary>
internal sealed class VmRuntimeDirectory : IDisposable
{
    internal const string QmpSocket = "qmp";
    internal const string ControlSocket = "control";
    internal const string BulkSocket = "bulk";
    internal const string NetworkSocket = "network";
    internal const string ConsoleSocket = "console";

    /// <summary>The longest of them.</summary>
    internal const string LongestSocketName = ControlSocket;

    private const string Parent = "vm";
    private const string RecordFile = "record.json";
    private const int MaxRecordBytes = 65_536;
    private const uint OwnerOnly = 0x1C0; // 0700
    private readonly SafeFileHandle _lock;

    private VmRuntimeDirectory(string path, SafeFileHandle locked)
    {
        Location = path;
        _lock = locked;
    }

    /// <summary>Its absolute path.</summary>
    internal string Location { get; }

    /// <summary>Where the directory of a VM belongs.</summary>
    /// <param name="runtimeDirectory"><see cref="SandboxHostOptions.RuntimeDirectory"/>.</param>
    /// <param name="id">The VM's id, a file name.</param>
    internal static string PathOf(string runtimeDirectory, string id) => Path.Combine(runtimeDirectory, Parent, id);

    /// <summary>The directories of all VMs, whoever uses them or does not.</summary>
    /// <param name="runtimeDirectory"><see cref="SandboxHostOptions.RuntimeDirectory"/>.</param>
    internal static IReadOnlyList<string> List(string runtimeDirectory)
    {
        string parent = Path.Combine(runtimeDirectory, Parent);
        return Directory.Exists(parent) ? Directory.GetDirectories(parent) : [];
    }

    /// <summary>Makes one that does not exist yet, and takes its lock.</summary>
    /// <exception cref="IOException">It exists already, or cannot be made.</exception>
    internal static VmRuntimeDirectory Create(string path)
    {
        Directory.CreateDirectory(
            Path.GetDirectoryName(path)!, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        if (Libc.MkDir(path, OwnerOnly) != 0)
        {
            throw Errno.LastError($"mkdir {path}");
        }

        return TryOpen(path, out bool locked) ?? throw new IOException($"{path} has just been made, and is {(locked ? "being swept" : "gone")} already");
    }

    /// <summary>Takes the lock of one that exists.</summary>
    /// <param name="path">Its path.</param>
    /// <param name="inUse">Whether somebody else has the lock.</param>
    /// <returns>Null if it does not exist, or is in use.</returns>
    internal static VmRuntimeDirectory? TryOpen(string path, out bool inUse)
    {
        inUse = false;
        SafeFileHandle directory = Libc.Open(path, Libc.O_RDONLY | Libc.O_DIRECTORY | Libc.O_NOFOLLOW | Libc.O_CLOEXEC, 0);
        if (directory.IsInvalid)
        {
            int errno = Marshal.GetLastPInvokeError();
            directory.Dispose();
            return errno == Errno.ENOENT ? null : throw new IOException($"open {path}: {Errno.Describe(errno)}", errno);
        }

        if (Libc.FLock(directory, Libc.LOCK_EX | Libc.LOCK_NB) == 0)
        {
            return new VmRuntimeDirectory(path, directory);
        }

        int failure = Marshal.GetLastPInvokeError();
        directory.Dispose();
        inUse = failure == Errno.EAGAIN;
        return inUse ? null : throw new IOException($"flock {path}: {Errno.Describe(failure)}", failure);
    }

    /// <summary>Makes a listening socket for QEMU and connects to it: nobody has to be there yet to accept.</summary>
    /// <returns>Our end, and the listening socket for QEMU.</returns>
    internal (Socket Ours, SafeFileHandle Theirs) Listen(string name)
    {
        SafeFileHandle listener = UnixSocketPath.Listen(Path.Combine(Location, name));
        try
        {
            return (Connect(name), listener);
        }
        catch
        {
            listener.Dispose();
            throw;
        }
    }

    /// <summary>Connects to a socket of a VM that runs.</summary>
    /// <exception cref="SocketException">It refuses.</exception>
    internal Socket Connect(string name) => UnixSocketPath.Connect(Path.Combine(Location, name));

    /// <summary>
    /// Puts the record in place, whole or not at all. It need not outlive the machine's next crash, after which the VM is gone: no fsync.
    /// </summary>
    internal void WriteRecord(VmRecord record)
    {
        string path = Path.Combine(Location, RecordFile);
        string temporary = path + ".tmp";
        using (var file = new FileStream(temporary, new FileStreamOptions
        {
            Mode = FileMode.Create,
            Access = FileAccess.Write,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        }))
        {
            JsonSerializer.Serialize(file, record, VmmJsonContext.Default.VmRecord);
        }

        File.Move(temporary, path, overwrite: true);
    }

    /// <summary>Reads the record.</summary>
    /// <returns>Null if there is none: the VM's start was not completed, and it has ended with the process that started it.</returns>
    /// <exception cref="InvalidDataException">It is damaged.</exception>
    internal VmRecord? ReadRecord()
    {
        string path = Path.Combine(Location, RecordFile);
        try
        {
            using FileStream file = File.OpenRead(path);
            if (file.Length > MaxRecordBytes)
            {
                throw new InvalidDataException($"{path} has {file.Length} bytes, more than any record");
            }

            return JsonSerializer.Deserialize(file, VmmJsonContext.Default.VmRecord) ?? throw new InvalidDataException($"{path} has no record");
        }
        catch (FileNotFoundException)
        {
            return null;
        }
        catch (JsonException damaged)
        {
            throw new InvalidDataException($"{path} cannot be read: {damaged.Message}", damaged);
        }
    }

    /// <summary>Removes the directory with what is in it, and drops the lock.</summary>
    /// <exception cref="IOException">Something could not be removed.</exception>
    internal void Remove()
    {
        try
        {
            Directory.Delete(Location, recursive: true);
        }
        finally
        {
            Dispose();
        }
    }

    /// <summary>Drops the lock.</summary>
    public void Dispose() => _lock.Dispose();
}
