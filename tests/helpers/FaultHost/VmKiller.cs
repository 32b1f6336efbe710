using System.Diagnostics;
using System.Globalization;

namespace OpenSandbox.FaultHost;

/// <summary>Kills the QEMUs of one state directory, which have uids of their own, as the kernel's killer for want of memory would.</summary>
internal static class VmKiller
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(10);

    /// <summary>Kills all but some, and waits until they are gone.</summary>
    /// <returns>How many there were.</returns>
    internal static int KillAll(int firstUid, IReadOnlySet<int> spared)
    {
        int killed = 0;
        foreach (Process process in Process.GetProcesses())
        {
            using (process)
            {
                if (spared.Contains(process.Id) || !IsQemu(process.Id, firstUid))
                {
                    continue;
                }

                try
                {
                    process.Kill();
                    process.WaitForExit(s_patience);
                    killed++;
                }
                catch (InvalidOperationException)
                {
                    continue; // it has ended by itself
                }
            }
        }

        return killed;
    }

    private static bool IsQemu(int pid, int firstUid)
    {
        const int range = 4_096; // as the tests' state directories have them
        try
        {
            string uid = File.ReadLines($"/proc/{pid}/status").First(static line => line.StartsWith("Uid:", StringComparison.Ordinal)).Split('\t')[1];
            long number = long.Parse(uid, CultureInfo.InvariantCulture) - firstUid;
            return number is >= 0 and < range
                && File.ReadAllText($"/proc/{pid}/cmdline").Split('\0')[0].EndsWith("qemu-system-x86_64", StringComparison.Ordinal);
        }
        catch (Exception gone) when (gone is IOException or InvalidOperationException)
        {
            return false;
        }
    }
}
