using System.Globalization;

namespace OpenSandbox.PerfHarness.Processes;

/// <summary>CPU time of processes.</summary>
internal static class CpuTime
{
    /// <summary>This process's, milliseconds.</summary>
    internal static double OursMilliseconds => Environment.CpuUsage.TotalTime.TotalMilliseconds;

    /// <summary>Another's, over all its living threads, milliseconds.</summary>
    internal static double OfMilliseconds(int pid)
    {
        long nanoseconds = 0;
        foreach (string thread in Directory.EnumerateDirectories($"/proc/{pid}/task"))
        {
            string text;
            try
            {
                text = File.ReadAllText(Path.Combine(thread, "schedstat"));
            }
            catch (Exception gone) when (gone is FileNotFoundException or DirectoryNotFoundException or IOException { HResult: 3 })
            {
                // The thread ended meanwhile; QEMU's worker threads come and go.
                continue;
            }

            nanoseconds += long.Parse(text.Split(' ', 2)[0], CultureInfo.InvariantCulture);
        }

        return nanoseconds / 1e6;
    }
}
