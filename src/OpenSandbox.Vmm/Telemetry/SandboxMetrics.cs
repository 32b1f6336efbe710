using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace OpenSandbox.Vmm.Telemetry;

/// <summary>The instruments: one set for the process, over all its hosts. Each one stands in docs/observability.md, which a test compares.</summary>
/// <remarks>No attribute has ids of sandboxes, names of images but those of pools, or anything else without a bound: those are on activities.</remarks>
internal static class SandboxMetrics
{
    /// <summary>Attribute: the kind of an error, a <see cref="SandboxErrorCode"/> as a rule.</summary>
    internal const string ErrorType = "error.type";

    private static readonly Meter s_meter = new(OpenSandboxTelemetry.SourceName, typeof(SandboxMetrics).Assembly.GetName().Version?.ToString(3));

    // The defaults of most collectors put 12 ms and 500 ms into one bucket.
    private static readonly InstrumentAdvice<double> s_seconds = new()
    {
        HistogramBucketBoundaries = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    };

    private static readonly ConcurrentDictionary<SandboxHost, byte> s_hosts = new();
    private static readonly Lock s_goneGate = new();
    private static EgressTotals s_gone; // of hosts that have closed: what counts up must never go back

    internal static readonly Histogram<double> StartDuration = Seconds(
        "opensandbox.sandbox.start.duration", "From asking for a new sandbox until it can be used.");

    internal static readonly Histogram<double> HibernateDuration = Seconds(
        "opensandbox.sandbox.hibernate.duration", "From asking for a hibernation until it is durable and the VM is gone.");

    internal static readonly Histogram<double> WakeDuration = Seconds(
        "opensandbox.sandbox.wake.duration", "From the beginning of a wake until the guest has resumed.");

    internal static readonly Histogram<double> CheckpointDuration = Seconds(
        "opensandbox.sandbox.checkpoint.duration", "From asking for a checkpoint until it is durable.");

    internal static readonly Histogram<double> RestoreDuration = Seconds(
        "opensandbox.sandbox.restore.duration", "From asking to go back to a checkpoint until the guest has resumed.");

    internal static readonly Histogram<double> ForkDuration = Seconds(
        "opensandbox.sandbox.fork.duration", "From asking for forks until all of them can be used.");

    internal static readonly Histogram<double> StandstillDuration = Seconds(
        "opensandbox.sandbox.standstill.duration", "How long guests stood still for checkpoints and live forks.");

    internal static readonly Histogram<double> ExecDuration = Seconds(
        "opensandbox.exec.duration", "From asking for a command until its result, waking the sandbox included.");

    internal static readonly UpDownCounter<long> ExecActive = s_meter.CreateUpDownCounter<long>(
        "opensandbox.exec.active", "{command}", "Commands under way.");

    internal static readonly Counter<long> Errors = s_meter.CreateCounter<long>(
        "opensandbox.errors", "{error}", "Operations that failed, by kind of error.");

    internal static readonly Counter<long> Expired = s_meter.CreateCounter<long>(
        "opensandbox.sandbox.expired", "{sandbox}", "Sandboxes whose time was up.");

    internal static readonly Counter<long> Ended = s_meter.CreateCounter<long>(
        "opensandbox.sandbox.ended", "{sandbox}", "Sandboxes that are over for their host.");

    static SandboxMetrics()
    {
        s_meter.CreateObservableUpDownCounter("opensandbox.sandbox.count", CountSandboxes, "{sandbox}", "Sandboxes by state.");
        s_meter.CreateObservableUpDownCounter("opensandbox.pool.available", CountPooled, "{machine}", "Machines that are ready in pools.");
        s_meter.CreateObservableCounter("opensandbox.pool.claims", CountClaims, "{claim}", "Creates that pools served, or had nothing ready for.");
        s_meter.CreateObservableCounter("opensandbox.egress.io", CountBytes, "By", "Bytes between guests and the network.");
        s_meter.CreateObservableCounter("opensandbox.egress.connections", CountConnections, "{connection}", "Connections that guests asked for.");
        s_meter.CreateObservableCounter("opensandbox.egress.dns.queries", CountQueries, "{query}", "DNS queries of guests.");
    }

    /// <summary>A host whose sandboxes and pools are observed from now on.</summary>
    internal static void Add(SandboxHost host) => s_hosts[host] = 0;

    /// <summary>A host that closes. What it has counted stays.</summary>
    internal static void Remove(SandboxHost host)
    {
        lock (s_goneGate)
        {
            if (s_hosts.TryRemove(host, out _))
            {
                s_gone += host.ReadEgress();
            }
        }
    }

    private static Histogram<double> Seconds(string name, string description) =>
        s_meter.CreateHistogram(name, "s", description, tags: null, s_seconds);

    private static IEnumerable<Measurement<long>> CountSandboxes()
    {
        long[] counts = new long[Enum.GetValues<SandboxState>().Length];
        foreach (SandboxHost host in s_hosts.Keys)
        {
            foreach (Sandbox sandbox in host.List())
            {
                counts[(int)sandbox.State]++;
            }
        }

        return Enum.GetValues<SandboxState>()
            .Where(static state => state != SandboxState.Stopped)
            .Select(state => new Measurement<long>(counts[(int)state], Tag("sandbox.state", NameOf(state))))
            .ToArray();
    }

    private static IEnumerable<Measurement<long>> CountPooled() => Pools()
        .SelectMany(static pool => (Measurement<long>[])
        [
            new(pool.Sum(static one => one.Hot), Tag("pool.image", pool.Key), Tag("pool.tier", "hot")),
            new(pool.Sum(static one => one.Parked), Tag("pool.image", pool.Key), Tag("pool.tier", "parked")),
        ]);

    private static IEnumerable<Measurement<long>> CountClaims() => Pools()
        .SelectMany(static pool => (Measurement<long>[])
        [
            new(pool.Sum(static one => one.HotClaims), Tag("pool.image", pool.Key), Tag("pool.tier", "hot")),
            new(pool.Sum(static one => one.ParkedClaims), Tag("pool.image", pool.Key), Tag("pool.tier", "parked")),
            new(pool.Sum(static one => one.Misses), Tag("pool.image", pool.Key), Tag("pool.tier", "none")),
        ]);

    private static IEnumerable<Measurement<long>> CountBytes()
    {
        EgressTotals totals = ReadEgress();
        return
        [
            new(totals.Sent, Tag("network.io.direction", "transmit")),
            new(totals.Received, Tag("network.io.direction", "receive")),
        ];
    }

    private static IEnumerable<Measurement<long>> CountConnections()
    {
        EgressTotals totals = ReadEgress();
        return
        [
            new(totals.Opened, Tag("egress.result", "opened")),
            new(totals.Refused, Tag("egress.result", "refused")),
            new(totals.Failed, Tag("egress.result", "failed")),
        ];
    }

    private static IEnumerable<Measurement<long>> CountQueries()
    {
        EgressTotals totals = ReadEgress();
        return
        [
            new(totals.DnsQueries - totals.DnsRefused - totals.DnsFailed, Tag("egress.result", "answered")),
            new(totals.DnsRefused, Tag("egress.result", "refused")),
            new(totals.DnsFailed, Tag("egress.result", "failed")),
        ];
    }

    private static EgressTotals ReadEgress()
    {
        lock (s_goneGate)
        {
            return s_hosts.Keys.Aggregate(s_gone, static (sum, host) => sum + host.ReadEgress());
        }
    }

    private static IGrouping<string, SandboxPoolStatistics>[] Pools() =>
        [.. s_hosts.Keys.SelectMany(static host => host.PoolStatistics).GroupBy(static pool => pool.Image ?? "none", StringComparer.Ordinal)];

    /// <summary>The form in which values stand in attributes.</summary>
    internal static string NameOf<T>(T value)
        where T : struct, Enum
    {
        string name = value.ToString();
        return string.Concat(name.Select(static (letter, at) => char.IsUpper(letter) && at > 0 ? $"_{char.ToLowerInvariant(letter)}" : $"{char.ToLowerInvariant(letter)}"));
    }

    internal static KeyValuePair<string, object?> Tag(string name, object? value) => new(name, value);
}
