using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;

namespace OpenSandbox.Host.Metrics;

/// <summary>What one instrument has measured: a series for each combination of its attributes' values. Thread-safe.</summary>
internal sealed class MetricFamily
{
    /// <summary>More combinations than that are added up in one series.</summary>
    internal const int MaxSeries = 1_000;

    private const int MaxLabels = 2_048;
    private const string Overflow = "otel_metric_overflow=\"true\"";

    private readonly ConcurrentDictionary<string, MetricSeries> _series = new(StringComparer.Ordinal);
    private readonly MetricKind _kind;
    private readonly double[] _bounds;
    private readonly string _help;
    private int _round;

    internal MetricFamily(Instrument instrument)
    {
        (_kind, bool monotonic) = KindOf(instrument);
        _bounds = _kind == MetricKind.Histogram ? BoundsOf(instrument) : [];
        _help = instrument.Description ?? "";
        Name = MetricNames.Of(instrument.Name, instrument.Unit, monotonic);
    }

    /// <summary>How it is called.</summary>
    internal string Name { get; }

    /// <summary>Takes in a measurement.</summary>
    internal void Record(double value, ReadOnlySpan<KeyValuePair<string, object?>> attributes)
    {
        Span<char> buffer = stackalloc char[MaxLabels];
        ReadOnlySpan<char> labels = MetricNames.TryWriteLabels(buffer, attributes, out int length) ? buffer[..length] : Overflow;
        if (!_series.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(labels, out MetricSeries? series))
        {
            string key = _series.Count < MaxSeries ? labels.ToString() : Overflow;
            series = _series.GetOrAdd(key, static (_, bounds) => new MetricSeries(bounds), _bounds);
        }

        series.Record(_kind, value, Volatile.Read(ref _round));
    }

    /// <summary>Begins to observe: what is not observed from here to <see cref="Write"/> is no longer there.</summary>
    internal void BeginRound() => Interlocked.Increment(ref _round);

    /// <summary>Writes all series in the text format.</summary>
    internal void Write(StringBuilder text)
    {
        int round = Volatile.Read(ref _round);
        bool begun = false;
        foreach ((string labels, MetricSeries series) in _series.OrderBy(static pair => pair.Key, StringComparer.Ordinal))
        {
            if (_kind == MetricKind.Observed && series.Round != round)
            {
                _series.TryRemove(labels, out _);
                continue;
            }

            if (!begun)
            {
                begun = true;
                text.Append(CultureInfo.InvariantCulture, $"# HELP {Name} {_help.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal)}\n");
                text.Append(CultureInfo.InvariantCulture, $"# TYPE {Name} {(_kind == MetricKind.Histogram ? "histogram" : Name.EndsWith("_total", StringComparison.Ordinal) ? "counter" : "gauge")}\n");
            }

            series.Write(text, Name, labels, _bounds);
        }
    }

    private static (MetricKind Kind, bool Monotonic) KindOf(Instrument instrument) => instrument.GetType().GetGenericTypeDefinition() switch
    {
        { } type when type == typeof(Counter<>) => (MetricKind.Sum, true),
        { } type when type == typeof(UpDownCounter<>) => (MetricKind.Sum, false),
        { } type when type == typeof(Histogram<>) => (MetricKind.Histogram, false),
        { } type when type == typeof(Gauge<>) => (MetricKind.Last, false),
        { } type when type == typeof(ObservableCounter<>) => (MetricKind.Observed, true),
        _ => (MetricKind.Observed, false),
    };

    private static double[] BoundsOf(Instrument instrument) => instrument switch
    {
        Histogram<double> { Advice.HistogramBucketBoundaries: { } bounds } => [.. bounds],
        Histogram<long> { Advice.HistogramBucketBoundaries: { } bounds } => [.. bounds.Select(static bound => (double)bound)],
        Histogram<int> { Advice.HistogramBucketBoundaries: { } bounds } => [.. bounds.Select(static bound => (double)bound)],
        { Unit: "s" } => [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
        _ => [5, 10, 25, 50, 75, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000],
    };
}
