using OpenSandbox.Host.Metrics;
using OpenSandbox.Vmm;
using OpenTelemetry;
using OpenTelemetry.Logs;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace OpenSandbox.Host.Telemetry;

/// <summary>Sends metrics, activities and the log to a collector, as the standard environment variables say; does nothing without them.</summary>
internal sealed class OtlpExport : IDisposable
{
    private const string EndpointVariable = "OTEL_EXPORTER_OTLP_ENDPOINT";
    private const string DisabledVariable = "OTEL_SDK_DISABLED";
    private const string NameVariable = "OTEL_SERVICE_NAME";
    private const string ServiceName = "opensandbox";
    private const string WebSource = "Microsoft.AspNetCore";

    private readonly MeterProvider? _meters;
    private readonly TracerProvider? _activities;

    /// <summary>Begins, if there is somewhere to send to.</summary>
    internal OtlpExport()
    {
        if (!IsWanted)
        {
            return;
        }

        _meters = Sdk.CreateMeterProviderBuilder()
            .ConfigureResource(Name)
            .AddMeter([OpenSandboxTelemetry.SourceName, MetricsReport.RuntimeMeter, .. MetricsReport.WebMeters])
            .AddOtlpExporter()
            .Build();
        _activities = Sdk.CreateTracerProviderBuilder()
            .ConfigureResource(Name)
            .AddSource(OpenSandboxTelemetry.SourceName, WebSource)
            .AddOtlpExporter()
            .Build();
    }

    /// <summary>Whether a collector is named.</summary>
    internal static bool IsWanted =>
        Environment.GetEnvironmentVariable(EndpointVariable) is { Length: > 0 }
        && !string.Equals(Environment.GetEnvironmentVariable(DisabledVariable), "true", StringComparison.OrdinalIgnoreCase);

    /// <summary>Sends the log, too.</summary>
    internal static void AddLog(ILoggingBuilder logging)
    {
        if (IsWanted)
        {
            logging.AddOpenTelemetry(static log =>
            {
                log.IncludeFormattedMessage = true;
                log.SetResourceBuilder(Named(ResourceBuilder.CreateDefault()));
                log.AddOtlpExporter();
            });
        }
    }

    /// <summary>Sends what is left, for as long as the standard allows.</summary>
    public void Dispose()
    {
        _meters?.Dispose();
        _activities?.Dispose();
    }

    private static void Name(ResourceBuilder resource) => Named(resource);

    private static ResourceBuilder Named(ResourceBuilder resource) => Environment.GetEnvironmentVariable(NameVariable) is { Length: > 0 }
        ? resource
        : resource.AddService(ServiceName, serviceVersion: typeof(OtlpExport).Assembly.GetName().Version?.ToString(3));
}
