using System.Globalization;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Integration.Tests.Faults;

/// <summary>
/// What a state directory and its processes consist of, compared with what the manifests name: everything else is a leak. Processes are found
/// by the uids that are the directory's own.
/// </summary>
internal static class FaultLedger
{
    private const int UidRange = 4_096;

    /// <summary>Finds what is too much or missing. The caller's host has all sandboxes, and holds the exclusive lease.</summary>
    internal static List<string> FindLeaks(SandboxHost host)
    {
        var leaks = new List<string>();
        StateStore store = host.Store;
        StateListing<SandboxManifest> sandboxes = store.ListSandboxes();
        StateListing<SnapshotManifest> snapshots = store.ListSnapshots();
        leaks.AddRange(sandboxes.Damaged.Concat(snapshots.Damaged).Select(static damaged => $"damaged: {damaged.Path}: {damaged.Problem}"));

        // Files: exactly what the manifests name.
        var expected = new HashSet<string>(StringComparer.Ordinal);
        foreach (SandboxManifest sandbox in sandboxes.Items)
        {
            expected.Add($"sandboxes/{sandbox.Id}/manifest.json");
            expected.Add($"sandboxes/{sandbox.Id}/lock");
            Name(sandbox.Disks);
            if (sandbox.Operation is not null)
            {
                leaks.Add($"sandbox {sandbox.Id} is still in an operation: {sandbox.Operation.Kind}");
            }
        }

        foreach (SnapshotManifest snapshot in snapshots.Items)
        {
            expected.Add($"snapshots/{snapshot.Id}/manifest.json");
            Name(snapshot.Disks);
            if (snapshot.Memory is SnapshotMemory memory)
            {
                expected.Add($"snapshots/{snapshot.Id}/{memory.Memory.Name}");
                expected.Add($"snapshots/{snapshot.Id}/{memory.DeviceState.Name}");
            }

            if (snapshot.Kind == SnapshotKind.Hibernation && !sandboxes.Items.Any(sandbox => sandbox.SnapshotId == snapshot.Id))
            {
                leaks.Add($"hibernation {snapshot.Id} of {snapshot.SandboxId} is nobody's");
            }
        }

        var found = new HashSet<string>(StringComparer.Ordinal);
        foreach (string part in (string[])["sandboxes", "snapshots", "layers", "disks"])
        {
            string directory = Path.Combine(store.Layout.Root, part);
            found.UnionWith(Directory.EnumerateFiles(directory, "*", SearchOption.AllDirectories).Select(path => Path.GetRelativePath(store.Layout.Root, path)));
        }

        leaks.AddRange(found.Except(expected).Select(static path => $"left: {path}"));
        leaks.AddRange(expected.Except(found).Select(static path => $"missing: {path}"));

        // Machines: those that the manifests name, and two processes each.
        VmRecord[] machines = [.. sandboxes.Items.Select(static sandbox => sandbox.Vm).OfType<VmRecord>()];
        HashSet<string> runtime = [.. machines.Select(static vm => vm.RuntimeDirectory)];
        leaks.AddRange(Entries(host.VmDirectory).Except(runtime).Select(static path => $"left: {path}"));
        HashSet<int> pids = [.. machines.SelectMany(static vm => (int[])[vm.QemuPid, vm.LauncherPid])];
        foreach ((int pid, string command) in OwnProcesses(host.Options.FirstUid))
        {
            if (!pids.Remove(pid))
            {
                leaks.Add($"process {pid}: {command}");
            }
        }

        leaks.AddRange(pids.Select(static pid => $"process {pid} is gone, and a manifest names it"));
        return leaks;

        void Name(DiskChains disks) => expected.UnionWith(disks.All()
            .SelectMany(static chain => chain.Layers.Select(static layer => layer.Id).Concat(chain.Pending is null ? [] : [chain.Pending]))
            .Select(static id => $"layers/{id}.qcow2"));
    }

    /// <summary>Processes that run under the uids of a state directory.</summary>
    internal static IEnumerable<(int Pid, string Command)> OwnProcesses(int firstUid)
    {
        foreach (string path in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(path), CultureInfo.InvariantCulture, out int pid))
            {
                continue;
            }

            string uid, command;
            bool reaped = true;
            try
            {
                string[] status = File.ReadAllLines(Path.Combine(path, "status"));
                uid = status.First(static line => line.StartsWith("Uid:", StringComparison.Ordinal)).Split('\t')[1];
                reaped = !(status.Contains("State:\tZ (zombie)") && status.Contains($"PPid:\t{Environment.ProcessId}"));
                command = string.Join(' ', File.ReadAllText(Path.Combine(path, "cmdline")).Split('\0').Take(3));
            }
            catch (Exception gone) when (gone is IOException or InvalidOperationException or UnauthorizedAccessException)
            {
                continue; // it ended while we looked
            }

            // Of a machine that this process itself began and let go of, the launcher stays a child of this process.
            if (reaped && long.Parse(uid, CultureInfo.InvariantCulture) - firstUid is >= 0 and < UidRange)
            {
                yield return (pid, command);
            }
        }
    }

    private static string[] Entries(string directory) => Directory.Exists(directory) ? Directory.GetFileSystemEntries(directory) : [];
}
