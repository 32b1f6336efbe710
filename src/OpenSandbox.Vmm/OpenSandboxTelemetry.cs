namespace OpenSandbox.Vmm;

/// <summary>Names under which this library publishes metrics and traces; the instruments are listed in docs/observability.md.</summary>
public static class OpenSandboxTelemetry
{
    /// <summary>
    /// Name of the <see cref="System.Diagnostics.Metrics.Meter"/> and of the <see cref="System.Diagnostics.ActivitySource"/>: what
    /// <c>AddMeter</c> and <c>AddSource</c> are given.
    /// </summary>
    public const string SourceName = "OpenSandbox";
}
