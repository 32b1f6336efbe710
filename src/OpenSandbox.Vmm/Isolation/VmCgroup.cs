using System.Globalization;
using Microsoft.Extensions.Logging;
using OpenSandbox.Cgroups;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.Isolation;

/// <summary>The host cgroups around one QEMU: one directory with cgroup v2, one for each controller with v1.</summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class VmCgroup
{
    private readonly Dictionary<IsolationControl, string> _directories;
    private readonly bool _isUnified;
    private readonly long _fixedBytes;
    private readonly ILogger _logger;
    private readonly Lock _gate = new();
    private long _memoryMax;
    private bool? _memoryRanOut; // when it has been removed

    /// <param name="directories">The directory of each controller that is in force.</param>
    /// <param name="isUnified">Whether they are the same one, of cgroup v2.</param>
    /// <param name="fixedBytes">Memory besides what is plugged in.</param>
    /// <param name="logger">For what does not matter to the VM.</param>
    internal VmCgroup(Dictionary<IsolationControl, string> directories, bool isUnified, long fixedBytes, ILogger logger)
    {
        _directories = directories;
        _isUnified = isUnified;
        _fixedBytes = fixedBytes;
        _logger = logger;
    }

    /// <summary>What the launcher is to put QEMU into.</summary>
    internal IEnumerable<string> Directories => _directories.Values.Distinct(StringComparer.Ordinal);

    /// <summary>For a record: which controllers are where.</summary>
    internal IReadOnlyDictionary<IsolationControl, string> ByController => _directories;

    /// <summary>Memory besides what is plugged in, bytes.</summary>
    internal long FixedBytes => _fixedBytes;

    internal bool Controls(IsolationControl control) => _directories.ContainsKey(control);

    /// <summary>
    /// Lets QEMU have so much memory plugged in, and no more. Less than it has already is left for the kernel to refuse: then the limit stays.
    /// </summary>
    /// <param name="bytes">What is to be plugged in.</param>
    /// <exception cref="IOException">More could not be allowed.</exception>
    internal void LimitPlugged(long bytes)
    {
        lock (_gate)
        {
            long wanted = _fixedBytes + bytes;
            if (wanted == _memoryMax || _memoryRanOut is not null || !_directories.TryGetValue(IsolationControl.MemoryLimit, out string? directory))
            {
                return;
            }

            try
            {
                WriteMemory(directory, wanted, raising: wanted > _memoryMax);
                _memoryMax = wanted;
            }
            catch (CgroupException refused) when (refused.Errno == Errno.EBUSY)
            {
                VmmLog.CgroupLimitKept(_logger, directory, refused.Message);
            }
        }
    }

    /// <summary>The limits of threads and CPU time.</summary>
    internal void LimitOthers(int threads, int? cpuPercent)
    {
        const int period = 100_000;
        if (_directories.TryGetValue(IsolationControl.ProcessLimit, out string? pids))
        {
            Write(pids, "pids.max", threads);
        }

        if (cpuPercent is int percent && _directories.TryGetValue(IsolationControl.CpuLimit, out string? cpu))
        {
            long quota = (long)percent * period / 100;
            if (_isUnified)
            {
                using Cgroup group = Cgroup.Open(cpu);
                group.Write("cpu.max", string.Create(CultureInfo.InvariantCulture, $"{quota} {period}"));
            }
            else
            {
                Write(cpu, "cpu.cfs_quota_us", quota);
            }
        }
    }

    /// <summary>Whether the kernel has ended something in it because its memory ran out. Also when it has been removed since.</summary>
    internal bool HasRunOutOfMemory()
    {
        lock (_gate)
        {
            return _memoryRanOut ?? ReadRanOut();
        }
    }

    /// <summary>Removes the directories, when QEMU has ended. What cannot be removed is left to be swept.</summary>
    internal void Remove()
    {
        lock (_gate)
        {
            _memoryRanOut ??= ReadRanOut();
            foreach (string directory in Directories)
            {
                if (!TryRemove(directory, out string? why))
                {
                    VmmLog.CgroupLeft(_logger, directory, why!);
                }
            }
        }
    }

    /// <summary>Removes one that nothing runs in.</summary>
    internal static bool TryRemove(string directory, out string? why)
    {
        try
        {
            using Cgroup parent = Cgroup.Open(Path.GetDirectoryName(directory)!);
            why = parent.TryRemoveChild(Path.GetFileName(directory)) ? null : "something still runs in it";
            return why is null;
        }
        catch (CgroupException failure)
        {
            why = failure.Message;
            return failure.Errno == Errno.ENOENT;
        }
    }

    private bool ReadRanOut()
    {
        if (!_directories.TryGetValue(IsolationControl.MemoryLimit, out string? directory))
        {
            return false;
        }

        try
        {
            byte[] text = File.ReadAllBytes(Path.Combine(directory, _isUnified ? "memory.events" : "memory.oom_control"));
            return CgroupStatistics.Value(text, "oom_kill"u8) > 0;
        }
        catch (Exception gone) when (gone is IOException or UnauthorizedAccessException)
        {
            VmmLog.CgroupLeft(_logger, directory, gone.Message);
            return false;
        }
    }

    /// <summary>Swap is limited along: a guest that is kept out of memory is not to fill that instead.</summary>
    private void WriteMemory(string directory, long bytes, bool raising)
    {
        if (_isUnified)
        {
            Write(directory, "memory.max", bytes);
            WriteIfThere(directory, "memory.swap.max", bytes);
            return;
        }

        // The limit of memory with swap may never be below the one of memory.
        const string memory = "memory.limit_in_bytes", both = "memory.memsw.limit_in_bytes";
        if (raising && _memoryMax > 0)
        {
            WriteIfThere(directory, both, 2 * bytes);
        }

        Write(directory, memory, bytes);
        if (!raising || _memoryMax == 0)
        {
            WriteIfThere(directory, both, 2 * bytes);
        }
    }

    private static void WriteIfThere(string directory, string file, long value)
    {
        try
        {
            Write(directory, file, value);
        }
        catch (CgroupException absent) when (absent.Errno is Errno.ENOENT or Errno.EOPNOTSUPP)
        {
            // A kernel that does not count swap.
            return;
        }
    }

    private static void Write(string directory, string file, long value)
    {
        using Cgroup group = Cgroup.Open(directory);
        group.Write(file, value.ToString(CultureInfo.InvariantCulture));
    }
}
