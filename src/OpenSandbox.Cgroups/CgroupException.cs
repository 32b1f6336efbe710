namespace OpenSandbox.Cgroups;

/// <summary>A cgroup operation that the kernel refused. The group is as usable as before.</summary>
public sealed class CgroupException : IOException
{
    internal CgroupException(string message, int errno)
        : base(message) => Errno = errno;

    /// <summary>The kernel's error number.</summary>
    public int Errno { get; }
}
