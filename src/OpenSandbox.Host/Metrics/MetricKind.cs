namespace OpenSandbox.Host.Metrics;

/// <summary>What becomes of an instrument's measurements.</summary>
internal enum MetricKind
{
    /// <summary>They are added up.</summary>
    Sum,

    /// <summary>The last one counts.</summary>
    Last,

    /// <summary>They are asked for when metrics are read; what is not told then is not there.</summary>
    Observed,

    /// <summary>They are counted by their size.</summary>
    Histogram,
}
