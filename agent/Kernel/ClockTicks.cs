using System.Diagnostics;

namespace OpenSandbox.Agent;

/// <summary>The monotonic clock in the units that the protocol uses.</summary>
internal static class ClockTicks
{
    /// <summary>Microseconds since some fixed moment.</summary>
    internal static long Microseconds => Stopwatch.GetTimestamp() / (Stopwatch.Frequency / 1_000_000);

    /// <summary>Milliseconds since the same moment.</summary>
    internal static long Milliseconds => Stopwatch.GetTimestamp() / (Stopwatch.Frequency / 1_000);
}
