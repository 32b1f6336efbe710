using System.Globalization;

namespace OpenSandbox.Integration.Tests;

/// <summary>What this process holds: children, descriptors by kind, and files under the state directory.</summary>
internal sealed record Leaks(int Children, int Descriptors, int StateFiles, int UidLocksHeld)
{
    internal static Leaks Now(SandboxHost host)
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        return new Leaks(
            CountDescendants(Environment.ProcessId),
            Directory.EnumerateFileSystemEntries("/proc/self/fd").Count(),
            Directory.EnumerateFileSystemEntries(Path.Combine(host.Options.StateDirectory, "disks"), "*", SearchOption.AllDirectories).Count(),
            Directory.EnumerateFileSystemEntries("/proc/self/fd").Count(static fd => TargetOf(fd).Contains("/uids/", StringComparison.Ordinal)));
    }

    /// <summary>Descendants that are alive or not yet reaped.</summary>
    internal static int CountDescendants(int pid)
    {
        int count = 0;
        foreach (int child in ChildrenOf(pid))
        {
            count += 1 + CountDescendants(child);
        }

        return count;
    }

    internal static IEnumerable<int> ChildrenOf(int pid)
    {
        string tasks = $"/proc/{pid}/task";
        if (!Directory.Exists(tasks))
        {
            return [];
        }

        return Directory.EnumerateDirectories(tasks).SelectMany(static task =>
        {
            try
            {
                return File.ReadAllText(Path.Combine(task, "children")).Split(' ', StringSplitOptions.RemoveEmptyEntries);
            }
            catch (IOException)
            {
                return []; // the task ended while we looked
            }
        }).Select(static text => int.Parse(text, CultureInfo.InvariantCulture)).ToList();
    }

    private static string TargetOf(string fd)
    {
        try
        {
            return File.ResolveLinkTarget(fd, returnFinalTarget: false)?.FullName ?? "";
        }
        catch (IOException)
        {
            return ""; // closed while we looked
        }
    }
}
