using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Cgroups;

/// <summary>
/// One cgroup v2, held open by its directory: it stays usable when the file system is unmounted from, or covered at, the path
/// by which it was found. Every call reaches the kernel at once; nothing is cached.
/// </summary>
/// <remarks>Thread-safe as far as the kernel is: single calls are atomic.</remarks>
/// <example>
/// <code>
/// using Cgroup root = Cgroup.Open("/sys/fs/cgroup");
/// root.EnableControllers("+pids +memory");
/// using Cgroup job = root.CreateChild("job");
/// job.Apply(new CgroupLimits { PidsMax = 128 });
/// job.Kill();
/// </code>
/// </example>
public sealed class Cgroup : IDisposable
{
    private const int O_DIRECTORY = 0x10000;
    private const int O_NOFOLLOW = 0x20000;
    private const int O_CLOEXEC = 0x80000;
    private const int O_PATH = 0x200000;
    private const int O_WRONLY = 1;
    private const int AT_FDCWD = -100;
    private const int AT_REMOVEDIR = 0x200;
    private const int MaxControlFile = 16 * 1024;
    private const int CpuPeriodMicroseconds = 100_000;

    private readonly string _name;

    private Cgroup(SafeFileHandle directory, string name)
    {
        Directory = directory;
        _name = name;
    }

    /// <summary>The group's directory, for <c>CLONE_INTO_CGROUP</c>. Owned by this object.</summary>
    public SafeFileHandle Directory { get; }

    private int Fd => (int)Directory.DangerousGetHandle();

    /// <summary>Opens an existing group.</summary>
    /// <param name="path">Its directory.</param>
    /// <returns>The group.</returns>
    /// <exception cref="CgroupException">There is none, or it cannot be opened.</exception>
    public static Cgroup Open(string path) => new(OpenDirectory(AT_FDCWD, path, path), path);

    /// <summary>Opens a group below this one.</summary>
    /// <param name="name">Its name, without a slash.</param>
    /// <returns>The group.</returns>
    /// <exception cref="CgroupException">There is none, or it cannot be opened.</exception>
    public Cgroup OpenChild(string name) => new(OpenDirectory(Fd, Checked(name), $"{_name}/{name}"), $"{_name}/{name}");

    /// <summary>Makes a group below this one, or opens it if it is there.</summary>
    /// <param name="name">Its name, without a slash.</param>
    /// <returns>The group.</returns>
    /// <exception cref="CgroupException">The kernel refused.</exception>
    public Cgroup CreateChild(string name)
    {
        if (Libc.MkDirAt(Fd, Terminated(Checked(name)), 0x1ED) < 0 && Marshal.GetLastPInvokeError() != Errno.EEXIST)
        {
            throw Failure($"mkdir {_name}/{name}");
        }

        return OpenChild(name);
    }

    /// <summary>Removes a group below this one. It must have neither processes nor groups below it.</summary>
    /// <param name="name">Its name, without a slash.</param>
    /// <returns>Whether it is gone; <see langword="false"/> while it is in use.</returns>
    /// <exception cref="CgroupException">The kernel refused for another reason.</exception>
    public bool TryRemoveChild(string name)
    {
        if (Libc.UnlinkAt(Fd, Terminated(Checked(name)), AT_REMOVEDIR) == 0)
        {
            return true;
        }

        return Marshal.GetLastPInvokeError() switch
        {
            Errno.ENOENT => true,
            Errno.EBUSY or Errno.ENOTEMPTY => false,
            _ => throw Failure($"rmdir {_name}/{name}"),
        };
    }

    /// <summary>Lets the groups below this one use controllers.</summary>
    /// <param name="controllers">As in <c>cgroup.subtree_control</c>: <c>+pids +memory</c>.</param>
    /// <exception cref="CgroupException">The kernel refused.</exception>
    public void EnableControllers(string controllers) => Write("cgroup.subtree_control", controllers);

    /// <summary>Sets the limits that are given.</summary>
    /// <param name="limits">The limits.</param>
    /// <exception cref="CgroupException">The kernel refused one; those before it are in force.</exception>
    public void Apply(CgroupLimits limits)
    {
        ArgumentNullException.ThrowIfNull(limits);
        if (limits.PidsMax is { } pids)
        {
            Write("pids.max", pids.ToString(CultureInfo.InvariantCulture));
        }

        if (limits.MemoryMaxBytes is { } memory)
        {
            Write("memory.max", memory.ToString(CultureInfo.InvariantCulture));
        }

        if (limits.CpuMaxPercent is { } cpu)
        {
            long quota = (long)cpu * CpuPeriodMicroseconds / 100;
            Write("cpu.max", string.Create(CultureInfo.InvariantCulture, $"{quota} {CpuPeriodMicroseconds}"));
        }

        if (limits.KillTogether is { } together)
        {
            Write("memory.oom.group", together ? "1" : "0");
        }
    }

    /// <summary>Kills every process of the group and of all groups below it, also those that fork meanwhile.</summary>
    /// <exception cref="CgroupException">The kernel refused.</exception>
    public void Kill() => Write("cgroup.kill", "1");

    /// <summary>Whether the group or one below it has a living process.</summary>
    /// <exception cref="CgroupException">The group is gone.</exception>
    public bool IsPopulated => CgroupStatistics.Value(Read("cgroup.events"), "populated"u8) != 0;

    /// <summary>CPU time of the group since it was made, microseconds.</summary>
    /// <exception cref="CgroupException">The group is gone.</exception>
    public long CpuMicroseconds => CgroupStatistics.Value(Read("cpu.stat"), "usage_usec"u8) ?? 0;

    /// <summary>Processes of the group that the kernel killed for lack of memory.</summary>
    /// <exception cref="CgroupException">The group is gone or has no memory controller.</exception>
    public long OutOfMemoryKills => CgroupStatistics.Value(Read("memory.events"), "oom_kill"u8) ?? 0;

    /// <summary>Opens a control file for reading, to be read again and again and to be waited upon (EPOLLPRI).</summary>
    /// <param name="file">Its name, such as <c>cgroup.events</c>.</param>
    /// <returns>The file; the caller's to dispose of.</returns>
    /// <exception cref="CgroupException">It cannot be opened.</exception>
    public SafeFileHandle OpenControl(string file)
    {
        int fd = Libc.OpenAt(Fd, Terminated(file), O_CLOEXEC | O_NOFOLLOW, 0);
        return fd < 0 ? throw Failure($"open {_name}/{file}") : new SafeFileHandle(fd, ownsHandle: true);
    }

    /// <summary>Writes a control file.</summary>
    /// <param name="file">Its name, such as <c>pids.max</c>.</param>
    /// <param name="value">What to write.</param>
    /// <exception cref="CgroupException">The kernel refused.</exception>
    public void Write(string file, string value)
    {
        int fd = Libc.OpenAt(Fd, Terminated(file), O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0);
        if (fd < 0)
        {
            throw Failure($"open {_name}/{file}");
        }

        byte[] bytes = Encoding.UTF8.GetBytes(value);
        nint written = Libc.Write(fd, bytes, (nuint)bytes.Length);
        CgroupException? failure = written == bytes.Length ? null : Failure($"write '{value}' to {_name}/{file}");
        _ = Libc.Close(fd);
        if (failure is not null)
        {
            throw failure;
        }
    }

    /// <summary>Closes the directory. The group itself stays.</summary>
    public void Dispose() => Directory.Dispose();

    private byte[] Read(string file)
    {
        using SafeFileHandle control = OpenControl(file);
        byte[] buffer = new byte[MaxControlFile];
        nint count = Libc.Read((int)control.DangerousGetHandle(), buffer, (nuint)buffer.Length);
        return count < 0 ? throw Failure($"read {_name}/{file}") : buffer[..(int)count];
    }

    private static SafeFileHandle OpenDirectory(int parent, string path, string described)
    {
        int fd = Libc.OpenAt(parent, Terminated(path), O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW, 0);
        return fd < 0 ? throw Failure($"open {described}") : new SafeFileHandle(fd, ownsHandle: true);
    }

    private static string Checked(string name)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        return name is "." or ".." || name.Contains('/', StringComparison.Ordinal) || name.Contains('\0', StringComparison.Ordinal)
            ? throw new ArgumentException("A group's name has no slash and is neither . nor ..", nameof(name))
            : name;
    }

    private static byte[] Terminated(string text) => Encoding.UTF8.GetBytes(text + "\0");

    private static CgroupException Failure(string what)
    {
        int errno = Marshal.GetLastPInvokeError();
        return new CgroupException($"{what}: {Errno.Describe(errno)}", errno);
    }
}
