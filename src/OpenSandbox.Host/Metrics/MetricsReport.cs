using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Text;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Metrics;

/// <summary>Listens to the meters that operators care for, and tells what they have measured in Prometheus' text format. Thread-safe.</summary>
internal sealed class MetricsReport : IDisposable
{
    /// <summary>The media type of the format.</summary>
    internal const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    /// <summary>The web server's meters: every server of a process has its own.</summary>
    internal static readonly string[] WebMeters = ["Microsoft.AspNetCore.Hosting", "Microsoft.AspNetCore.Server.Kestrel"];

    /// <summary>The runtime's meter.</summary>
    internal const string RuntimeMeter = "System.Runtime";

    private readonly ConcurrentDictionary<string, MetricFamily> _families = new(StringComparer.Ordinal);
    private readonly Lock _gate = new();
    private readonly MeterListener _listener;

    /// <param name="meters">Who has made the web server's meters.</param>
    internal MetricsReport(IMeterFactory meters)
    {
        _listener = new MeterListener
        {
            InstrumentPublished = (instrument, listener) =>
            {
                string meter = instrument.Meter.Name;
                if (meter is OpenSandboxTelemetry.SourceName or RuntimeMeter || (WebMeters.Contains(meter) && ReferenceEquals(instrument.Meter.Scope, meters)))
                {
                    listener.EnableMeasurementEvents(instrument, FamilyOf(instrument));
                }
            },
        };
        _listener.SetMeasurementEventCallback<double>(static (_, value, tags, state) => Record(value, tags, state));
        _listener.SetMeasurementEventCallback<float>(static (_, value, tags, state) => Record(value, tags, state));
        _listener.SetMeasurementEventCallback<long>(static (_, value, tags, state) => Record(value, tags, state));
        _listener.SetMeasurementEventCallback<int>(static (_, value, tags, state) => Record(value, tags, state));
        _listener.SetMeasurementEventCallback<short>(static (_, value, tags, state) => Record(value, tags, state));
        _listener.SetMeasurementEventCallback<byte>(static (_, value, tags, state) => Record(value, tags, state));
        _listener.SetMeasurementEventCallback<decimal>(static (_, value, tags, state) => Record((double)value, tags, state));
        _listener.Start();
    }

    /// <summary>Everything that has been measured.</summary>
    internal string Write()
    {
        lock (_gate)
        {
            foreach (MetricFamily family in _families.Values)
            {
                family.BeginRound();
            }

            _listener.RecordObservableInstruments();
            var text = new StringBuilder(32 << 10);
            foreach (MetricFamily family in _families.Values.OrderBy(static family => family.Name, StringComparer.Ordinal))
            {
                family.Write(text);
            }

            return text.ToString();
        }
    }

    public void Dispose() => _listener.Dispose();

    private static void Record(double value, ReadOnlySpan<KeyValuePair<string, object?>> tags, object? state) => ((MetricFamily)state!).Record(value, tags);

    private MetricFamily FamilyOf(Instrument instrument) => _families.GetOrAdd(instrument.Name, static (_, instrument) => new MetricFamily(instrument), instrument);
}
