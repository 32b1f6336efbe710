using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Logging;
using OpenSandbox.Cgroups;
using OpenSandbox.Interop;
using OpenSandbox.Vmm.Processes;

namespace OpenSandbox.Vmm.Isolation;

/// <summary>
/// Makes the cgroups around the QEMUs of one host, and removes those that earlier hosts have left. A group's name says which process made
/// it: it is removed when that process is gone and nothing runs in it. The kernel refuses to remove one that something runs in, so that a
/// detached VM keeps its own.
/// </summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class HostCgroups
{
    /// <summary>Threads of one QEMU: one for each vCPU, up to 64 for disk requests, a few more.</summary>
    internal const int MaxThreads = 256;

    private const string Prefix = "vm-";
    private const int MaxPathBytes = 4_096;

    private readonly CgroupSites _sites;
    private readonly ILogger _logger;
    private readonly string _registry;
    private readonly string _namePrefix;
    private int _next;

    private HostCgroups(CgroupSites sites, string registry, ILogger logger)
    {
        _sites = sites;
        _registry = registry;
        _logger = logger;
        long started = ProcessFacts.Read(Environment.ProcessId)?.StartTicks ?? 0;
        _namePrefix = string.Create(CultureInfo.InvariantCulture, $"{Prefix}{Environment.ProcessId}-{started}-");
    }

    /// <summary>Finds out what can be had, and sweeps what earlier hosts have left.</summary>
    internal static HostCgroups Open(SandboxHostOptions options, ILogger logger)
    {
        var cgroups = new HostCgroups(
            CgroupSites.Find(options.CgroupParent, prepare: true), Path.Combine(options.RuntimeDirectory, "cgroups"), logger);
        cgroups.Register();
        cgroups.Sweep();
        return cgroups;
    }

    /// <summary>Why a controller cannot be had; null if it can.</summary>
    internal string? WhyNot(IsolationControl controller) => _sites.WhyNot(controller);

    /// <summary>Where a controller's groups are.</summary>
    internal CgroupSite? SiteOf(IsolationControl controller) => _sites.Sites.FirstOrDefault(site => site.Controllers.Contains(controller));

    /// <summary>Makes the cgroups of one VM, with its limits.</summary>
    /// <param name="fixedBytes">Memory that QEMU may have besides what is plugged in.</param>
    /// <param name="pluggedBytes">What is plugged in at first.</param>
    /// <param name="cpuPercent">CPU time, if that is to be limited.</param>
    /// <returns>Null where no controller can be had.</returns>
    /// <exception cref="IOException">A group could not be made.</exception>
    internal VmCgroup? Create(long fixedBytes, long pluggedBytes, int? cpuPercent)
    {
        if (_sites.Sites.Count == 0)
        {
            return null;
        }

        string name = _namePrefix + Interlocked.Increment(ref _next).ToString(CultureInfo.InvariantCulture);
        var directories = new Dictionary<IsolationControl, string>();
        bool isUnified = false;
        bool made = false;
        try
        {
            foreach (CgroupSite site in _sites.Sites)
            {
                // v1 takes a group for each controller: none that limits nothing.
                if (!site.IsUnified && site.Controllers.All(static control => control == IsolationControl.CpuLimit) && cpuPercent is null)
                {
                    continue;
                }

                Make(site, name);
                isUnified |= site.IsUnified;
                foreach (IsolationControl control in site.Controllers)
                {
                    directories[control] = Path.Combine(site.Directory, name);
                }
            }

            var cgroup = new VmCgroup(directories, isUnified, fixedBytes, _logger);
            cgroup.LimitPlugged(pluggedBytes);
            cgroup.LimitOthers(MaxThreads, cpuPercent);
            made = true;
            return cgroup;
        }
        finally
        {
            if (!made)
            {
                foreach (string directory in directories.Values.Distinct(StringComparer.Ordinal))
                {
                    VmCgroup.TryRemove(directory, out _);
                }
            }
        }
    }

    /// <summary>Of a VM that another host has started.</summary>
    /// <param name="directories">From its record.</param>
    /// <param name="fixedBytes">From its record.</param>
    /// <returns>Null if it has none, or they are gone.</returns>
    internal VmCgroup? Adopt(IReadOnlyDictionary<IsolationControl, string> directories, long fixedBytes)
    {
        var there = directories
            .Where(static entry => IsOurs(entry.Value) && Directory.Exists(entry.Value))
            .ToDictionary(static entry => entry.Key, static entry => entry.Value);
        return there.Count == 0
            ? null
            : new VmCgroup(there, Libc.FileSystemOf(there.Values.First()) == Libc.CGROUP2_SUPER_MAGIC, fixedBytes, _logger);
    }

    /// <summary>Whether a path is one that this library makes: a record is not to lead anywhere else.</summary>
    internal static bool IsOurs(string directory) =>
        Path.GetFullPath(directory) == directory
        && Path.GetFileName(directory).StartsWith(Prefix, StringComparison.Ordinal)
        && IsOurSite(Path.GetDirectoryName(directory)!);

    /// <summary>Removes the groups that no process runs in and whose makers are gone, and then those that hold none any more.</summary>
    internal void Sweep()
    {
        foreach (string site in RegisteredSites())
        {
            foreach (string directory in DirectoriesIn(site))
            {
                if (IsAbandoned(Path.GetFileName(directory)) && !VmCgroup.TryRemove(directory, out string? why))
                {
                    VmmLog.CgroupLeft(_logger, directory, why!);
                }
            }
        }
    }

    /// <summary>Removes what holds the groups, where no other host has any there.</summary>
    internal void Close()
    {
        foreach (CgroupSite site in _sites.Sites)
        {
            VmCgroup.TryRemove(site.Directory, out _); // another host's, while it has VMs
        }
    }

    private static void Make(CgroupSite site, string name)
    {
        try
        {
            using Cgroup parent = Cgroup.Open(site.Directory);
            using Cgroup made = parent.CreateChild(name);
        }
        catch (CgroupException gone) when (gone.Errno == Errno.ENOENT)
        {
            // Another host has closed meanwhile, and found it empty.
            using Cgroup above = Cgroup.Open(Path.GetDirectoryName(site.Directory)!);
            using Cgroup parent = above.CreateChild(CgroupSite.Name);
            if (site.IsUnified)
            {
                parent.EnableControllers(string.Join(' ', site.Controllers.Select(static control => "+" + CgroupSite.KernelNameOf(control))));
            }

            using Cgroup made = parent.CreateChild(name);
        }
    }

    /// <summary>Hosts run in different cgroups, one after the other: where each has made groups is written down for the next.</summary>
    private void Register()
    {
        if (_sites.Sites.Count == 0)
        {
            return;
        }

        Directory.CreateDirectory(_registry, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        foreach (CgroupSite site in _sites.Sites)
        {
            const int nameLength = 16;
            byte[] path = Encoding.UTF8.GetBytes(site.Directory);
            string file = Path.Combine(_registry, Convert.ToHexStringLower(SHA256.HashData(path))[..nameLength]);
            string temporary = $"{file}.{Environment.ProcessId}";
            File.WriteAllBytes(temporary, path);
            File.Move(temporary, file, overwrite: true);
        }
    }

    private List<string> RegisteredSites()
    {
        var sites = new List<string>();
        foreach (string file in Directory.Exists(_registry) ? Directory.GetFiles(_registry) : [])
        {
            try
            {
                string site = new FileInfo(file).Length <= MaxPathBytes ? File.ReadAllText(file) : "";
                if (IsOurSite(site))
                {
                    sites.Add(site);
                }
                else if (!Directory.Exists(site))
                {
                    File.Delete(file);
                }
            }
            catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
            {
                VmmLog.CgroupLeft(_logger, file, failure.Message);
            }
        }

        return sites;
    }

    private static bool IsOurSite(string site) =>
        Path.IsPathFullyQualified(site) && Path.GetFullPath(site) == site && Path.GetFileName(site) == CgroupSite.Name
        && Libc.FileSystemOf(site) is Libc.CGROUP_SUPER_MAGIC or Libc.CGROUP2_SUPER_MAGIC;

    private static string[] DirectoriesIn(string site)
    {
        try
        {
            return Directory.GetDirectories(site, Prefix + "*");
        }
        catch (DirectoryNotFoundException)
        {
            return [];
        }
    }

    private static bool IsAbandoned(string name)
    {
        // "vm-PID-STARTED-NUMBER"
        const int parts = 4;
        string[] fields = name.Split('-');
        return fields.Length == parts
            && int.TryParse(fields[1], NumberStyles.None, CultureInfo.InvariantCulture, out int pid)
            && long.TryParse(fields[2], NumberStyles.None, CultureInfo.InvariantCulture, out long started)
            && (ProcessFacts.Read(pid) is not ProcessFacts maker || maker.StartTicks != started);
    }
}
