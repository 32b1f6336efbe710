using System.Diagnostics;

namespace OpenSandbox.Cli.Running;

/// <summary>How long each part of a run took, from the first to the last thing that this program does itself.</summary>
internal sealed class RunTimings
{
    private long _last = Stopwatch.GetTimestamp();

    /// <summary>Loading, or making, the golden snapshot.</summary>
    internal TimeSpan Host { get; private set; }

    /// <summary>Looking for, or building, the images.</summary>
    internal TimeSpan Images { get; private set; }

    /// <summary>From there to a sandbox that is ready.</summary>
    internal TimeSpan Create { get; private set; }

    /// <summary>From there to the command's end, its output read.</summary>
    internal TimeSpan Execute { get; private set; }

    internal void HostReady() => Host = Lap();

    internal void ImagesReady() => Images = Lap();

    internal void SandboxReady() => Create = Lap();

    internal void CommandEnded() => Execute = Lap();

    private TimeSpan Lap()
    {
        long now = Stopwatch.GetTimestamp();
        TimeSpan elapsed = Stopwatch.GetElapsedTime(_last, now);
        _last = now;
        return elapsed;
    }
}
