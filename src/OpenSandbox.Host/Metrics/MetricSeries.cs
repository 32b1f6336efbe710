using System.Globalization;
using System.Text;

namespace OpenSandbox.Host.Metrics;

/// <summary>The measurements of one instrument with the same attributes. Thread-safe.</summary>
/// <param name="bounds">Upper bounds of a histogram's buckets, ascending; of no histogram, none.</param>
internal sealed class MetricSeries(double[] bounds)
{
    private readonly Lock _gate = new();
    private readonly long[] _buckets = new long[bounds.Length + 1];
    private double _value;
    private int _round;

    /// <summary>When it was last observed.</summary>
    internal int Round => Volatile.Read(ref _round);

    /// <summary>Takes in a measurement.</summary>
    internal void Record(MetricKind kind, double value, int round)
    {
        lock (_gate)
        {
            switch (kind)
            {
                case MetricKind.Sum:
                    _value += value;
                    break;
                case MetricKind.Histogram:
                    int at = Array.BinarySearch(bounds, value);
                    _buckets[at < 0 ? ~at : at]++; // a bound belongs to its bucket
                    _value += value;
                    break;
                default:
                    _value = _round == round && kind == MetricKind.Observed ? _value + value : value; // observed twice: two sources of one series
                    break;
            }

            _round = round;
        }
    }

    /// <summary>Writes it in the text format.</summary>
    internal void Write(StringBuilder text, string name, string labels, double[] upperBounds)
    {
        double value;
        long[] buckets;
        lock (_gate)
        {
            value = _value;
            buckets = [.. _buckets];
        }

        if (upperBounds.Length == 0)
        {
            Line(text, name, labels, value);
            return;
        }

        string separator = labels.Length == 0 ? "" : ",";
        long count = 0;
        for (int i = 0; i < buckets.Length; i++)
        {
            count += buckets[i];
            string bound = i < upperBounds.Length ? upperBounds[i].ToString("R", CultureInfo.InvariantCulture) : "+Inf";
            Line(text, name + "_bucket", $"{labels}{separator}le=\"{bound}\"", count);
        }

        Line(text, name + "_sum", labels, value);
        Line(text, name + "_count", labels, count);
    }

    private static void Line(StringBuilder text, string name, string labels, double value)
    {
        text.Append(name);
        if (labels.Length > 0)
        {
            text.Append('{').Append(labels).Append('}');
        }

        text.Append(CultureInfo.InvariantCulture, $" {value:R}\n");
    }
}
