namespace OpenSandbox.PerfHarness.Measuring;

/// <summary>Measurements of one thing, in one unit. The first ones are a warm-up and are dropped.</summary>
internal sealed class Series
{
    private readonly List<double> _values = [];
    private int _warmups;

    /// <param name="warmups">How many of the first measurements to drop.</param>
    internal Series(int warmups = 0) => _warmups = warmups;

    internal int Count => _values.Count;

    /// <summary>Nearest-rank percentiles: every figure reported is one that was measured.</summary>
    internal Summary Summary => new(Count, Percentile(0), Percentile(50), Percentile(95), Percentile(99), Percentile(100));

    internal double P50 => Percentile(50);

    internal double P99 => Percentile(99);

    internal void Add(double value)
    {
        if (_warmups > 0)
        {
            _warmups--;
            return;
        }

        _values.Add(value);
    }

    internal void AddRange(IEnumerable<double> values)
    {
        foreach (double value in values)
        {
            Add(value);
        }
    }

    private double Percentile(int percent)
    {
        if (_values.Count == 0)
        {
            throw new InvalidOperationException("nothing was measured");
        }

        double[] sorted = [.. _values];
        Array.Sort(sorted);
        int rank = (int)Math.Ceiling(percent / 100.0 * sorted.Length);
        return sorted[Math.Max(rank, 1) - 1];
    }
}
