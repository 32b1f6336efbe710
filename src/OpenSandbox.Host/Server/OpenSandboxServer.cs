using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Net;
using System.Text;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using OpenSandbox.Host.Api;
using OpenSandbox.Host.Checkpoints;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Images;
using OpenSandbox.Host.Json;
using OpenSandbox.Host.Metrics;
using OpenSandbox.Host.Previews;
using OpenSandbox.Host.Protection;
using OpenSandbox.Host.Records;
using OpenSandbox.Host.Sandboxes;
using OpenSandbox.Host.Scaling;
using OpenSandbox.Host.Security;
using OpenSandbox.Host.Telemetry;
using OpenSandbox.Host.Usage;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host;

/// <summary>Serves sandboxes over HTTP. Disposing it stops the server; its sandboxes live on, and the next server takes them over.</summary>
/// <remarks>Thread-safe. One server at a time for a state directory's sandboxes.</remarks>
public sealed class OpenSandboxServer : IAsyncDisposable
{
    private readonly WebApplication _application;
    private readonly SandboxHost _host;

    private OpenSandboxServer(WebApplication application, SandboxHost host)
    {
        _application = application;
        _host = host;
    }

    /// <summary>Where it can be reached: a URL, or the path of its socket. With port 0 the port that was chosen stands in it.</summary>
    public string Address => _application.Urls.First();

    /// <summary>What it serves.</summary>
    internal IEnumerable<RouteEndpoint> Routes =>
        ((IEndpointRouteBuilder)_application).DataSources.SelectMany(static source => source.Endpoints).OfType<RouteEndpoint>();

    /// <summary>Starts a server.</summary>
    /// <param name="options">How. Default: all defaults.</param>
    /// <param name="configureLogging">Where the log goes. Default: nowhere.</param>
    /// <param name="cancellationToken">Stops the start; nothing is left.</param>
    /// <exception cref="ArgumentException">An option is out of range, or makes the server open to others without a key.</exception>
    /// <exception cref="IOException">The address is in use, or a file cannot be used.</exception>
    /// <exception cref="SandboxException">Sandboxes cannot be made here.</exception>
    public static async Task<OpenSandboxServer> StartAsync(
        ServerOptions? options = null, Action<ILoggingBuilder>? configureLogging = null, CancellationToken cancellationToken = default)
    {
        options ??= new ServerOptions();
        options.Validate();
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        configureLogging?.Invoke(builder.Logging);
        OtlpExport.AddLog(builder.Logging);
        builder.WebHost.ConfigureKestrel(kestrel => Configure(kestrel, options));
        builder.Services.AddSingleton(options);
        builder.Services.AddSingleton<ServerState>();
        builder.Services.AddSingleton<RequestRates>();
        builder.Services.AddSingleton(services => new Readiness(
            services.GetRequiredService<ServerState>(), () => new DriveInfo(options.Sandboxes.StateDirectory).AvailableFreeSpace));
        builder.Services.AddSingleton(services => new MetricsReport(services.GetRequiredService<IMeterFactory>()));
        builder.Services.AddSingleton<OtlpExport>(static _ => new OtlpExport());
        builder.Services.AddSingleton<OperatorEndpoints>();
        builder.Services.Configure<HostOptions>(hosting => hosting.ShutdownTimeout = options.ShutdownTimeout);
        SandboxHost? host = null;
        builder.Services.AddSingleton(_ => host!);
        builder.Services.AddSingleton(services =>
            new ApiKeyStore(options, services.GetRequiredService<ILoggerFactory>().CreateLogger<ApiKeyStore>()));
        builder.Services.AddSingleton(services =>
            new EntryStore(options.Sandboxes.StateDirectory, services.GetRequiredService<ILoggerFactory>().CreateLogger<EntryStore>()));
        builder.Services.AddSingleton<SandboxService>();
        builder.Services.AddSingleton<SandboxEndpoints>();
        builder.Services.AddSingleton<ExecEndpoints>();
        builder.Services.AddSingleton<SessionEndpoints>();
        builder.Services.AddSingleton<FileEndpoints>();
        builder.Services.AddSingleton<CheckpointEndpoints>();
        builder.Services.AddSingleton<LimitEndpoints>();
        builder.Services.AddSingleton<ScalingEndpoints>();
        builder.Services.AddSingleton<PowerEndpoints>();
        builder.Services.AddSingleton<FleetEndpoints>();
        builder.Services.AddSingleton(services => new RecordStore<CheckpointEntry>(
            Path.Combine(options.Sandboxes.StateDirectory, "api", "checkpoints"),
            HostJsonContext.Default.CheckpointEntry,
            static entry => entry.Format <= CheckpointEntry.CurrentFormat,
            services.GetRequiredService<ILoggerFactory>().CreateLogger<EntryStore>()));
        builder.Services.AddSingleton(services => new RecordStore<ImageEntry>(
            Path.Combine(options.Sandboxes.StateDirectory, "api", "images"),
            HostJsonContext.Default.ImageEntry,
            static entry => entry.Format <= ImageEntry.CurrentFormat,
            services.GetRequiredService<ILoggerFactory>().CreateLogger<EntryStore>()));
        builder.Services.AddSingleton(services => new RecordStore<SnapshotEntry>(
            Path.Combine(options.Sandboxes.StateDirectory, "api", "snapshots"),
            HostJsonContext.Default.SnapshotEntry,
            static entry => entry.Format <= SnapshotEntry.CurrentFormat,
            services.GetRequiredService<ILoggerFactory>().CreateLogger<EntryStore>()));
        builder.Services.AddSingleton<ImageBuilder>();
        builder.Services.AddSingleton<ImageService>();
        builder.Services.AddSingleton<SnapshotEndpoints>();
        builder.Services.AddSingleton<PatchRunner>();
        builder.Services.AddHostedService(static services => services.GetRequiredService<PatchRunner>());
        builder.Services.AddSingleton<PatchEndpoints>();
        builder.Services.AddSingleton<PreviewEndpoints>();
        builder.Services.AddSingleton<PreviewHeaders>();
        builder.Services.AddSingleton<PreviewProxy>();
        builder.Services.AddSingleton<UsageEndpoints>();
        builder.Services.AddSingleton(services =>
            new UsageBook(options.Sandboxes.StateDirectory, services.GetRequiredService<ILoggerFactory>().CreateLogger<UsageBook>()));
        builder.Services.AddSingleton<UsageMeter>();
        builder.Services.AddHostedService(static services => services.GetRequiredService<UsageMeter>());
        builder.Services.AddHostedService<Autoscaler>();
        builder.Services.AddSingleton(_ => new UrlSigner(options.Sandboxes.StateDirectory));
        builder.Services.AddSingleton<HealthEndpoints>();
        WebApplication application = builder.Build();
        try
        {
            ILogger logger = application.Services.GetRequiredService<ILoggerFactory>().CreateLogger<OpenSandboxServer>();
            _ = application.Services.GetRequiredService<OtlpExport>();
            CheckAccess(options, application.Services.GetRequiredService<ApiKeyStore>(), logger);
            host = await SandboxHost
                .StartAsync(options.Sandboxes, application.Services.GetRequiredService<ILoggerFactory>(), cancellationToken)
                .ConfigureAwait(false);
            if (options.Prepare is { } prepare)
            {
                await prepare(host, cancellationToken).ConfigureAwait(false);
            }

            Map(application);
            ServerState state = application.Services.GetRequiredService<ServerState>();
            application.Lifetime.ApplicationStopping.Register(() => state.NotReady = "it is being stopped");
            application.Services.GetRequiredService<DiagnosticListener>()
                .Subscribe(new RefusedRequests(), static name => name == RefusedRequests.EventName);
            SandboxService sandboxes = application.Services.GetRequiredService<SandboxService>();
            _ = application.Services.GetRequiredService<UsageMeter>(); // it listens from here on
            await sandboxes.RecoverAsync(cancellationToken).ConfigureAwait(false);
            await application.Services.GetRequiredService<ImageService>().RecoverAsync().ConfigureAwait(false);
            await application.StartAsync(cancellationToken).ConfigureAwait(false);
            state.NotReady = null;
            var server = new OpenSandboxServer(application, host);
            HostLog.Listening(logger, server.Address, options.Sandboxes.StateDirectory);
            return server;
        }
        catch
        {
            await application.DisposeAsync().ConfigureAwait(false);
            if (host is not null)
            {
                await host.DisposeAsync().ConfigureAwait(false);
            }

            throw;
        }
    }

    /// <summary>Waits until the server has been stopped.</summary>
    /// <param name="cancellationToken">Stops it: no new requests, those under way have <see cref="ServerOptions.ShutdownTimeout"/>.</param>
    public async Task WaitForShutdownAsync(CancellationToken cancellationToken = default) =>
        await _application.WaitForShutdownAsync(cancellationToken).ConfigureAwait(false);

    /// <summary>Stops the server. Sandboxes run on, or stay hibernated.</summary>
    public async ValueTask DisposeAsync()
    {
        await _application.StopAsync(CancellationToken.None).ConfigureAwait(false);
        await _application.DisposeAsync().ConfigureAwait(false);
        await _host.DisposeAsync().ConfigureAwait(false);
    }

    private static void CheckAccess(ServerOptions options, ApiKeyStore keys, ILogger logger)
    {
        if (keys.IsRequired)
        {
            return;
        }

        if (!options.Listen.IsLocal && !options.AllowAnonymousRemote)
        {
            throw new ArgumentException(
                $"listening on {options.Listen} without an API key would let everyone who reaches it run programs here: set OPENSANDBOX_API_KEY or "
                    + "--api-keys, listen on 127.0.0.1, or say that this is meant with --allow-anonymous-remote");
        }

        HostLog.NoKeys(logger);
    }

    private static void Configure(KestrelServerOptions kestrel, ServerOptions options)
    {
        kestrel.AddServerHeader = false;
        kestrel.ResponseHeaderEncodingSelector = static _ => Encoding.Latin1; // previews pass on what programs say, byte by byte
        kestrel.Limits.MaxRequestBodySize = options.MaxBodyBytes;
        kestrel.Limits.MaxConcurrentConnections = options.MaxConnections;
        kestrel.Limits.MaxConcurrentUpgradedConnections = options.MaxConnections;
        kestrel.Limits.MaxRequestHeadersTotalSize = 32 << 10;
        kestrel.Limits.MaxRequestLineSize = 16 << 10;
        kestrel.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(15);
        kestrel.Limits.MaxRequestHeaderCount = 100;
        kestrel.Limits.MinRequestBodyDataRate = new MinDataRate(bytesPerSecond: 240, gracePeriod: TimeSpan.FromSeconds(5));
        kestrel.Limits.KeepAliveTimeout = TimeSpan.FromMinutes(2);
        if (options.Listen.EndPoint is IPEndPoint endPoint)
        {
            kestrel.Listen(endPoint, ConfigureEndpoint);
        }
        else
        {
            kestrel.ListenUnixSocket(options.Listen.SocketPath!, ConfigureEndpoint);
        }
    }

    private static void ConfigureEndpoint(ListenOptions endpoint)
    {
        endpoint.Protocols = HttpProtocols.Http1;
        RefusedRequests.Use(endpoint);
    }

    private static void Map(WebApplication application)
    {
        application.UseMiddleware<ErrorMiddleware>();
        application.UseRouting();
        application.UseMiddleware<LoadMiddleware>();
        application.UseMiddleware<PreviewMiddleware>(); // before keys are asked for: previews have tokens of their own
        application.UseSwaggerUI(static page =>
        {
            page.RoutePrefix = "docs";
            page.DocumentTitle = "OpenSandbox";
            page.SwaggerEndpoint(OperatorEndpoints.DocumentPath, "OpenSandbox");
        });
        application.UseMiddleware<AccessMiddleware>();
        application.UseWebSockets(new WebSocketOptions { KeepAliveInterval = TimeSpan.FromSeconds(30), KeepAliveTimeout = TimeSpan.FromSeconds(30) });
        application.Services.GetRequiredService<HealthEndpoints>().Map(application);
        application.Services.GetRequiredService<OperatorEndpoints>().Map(application);
        application.Services.GetRequiredService<SandboxEndpoints>().Map(application);
        application.Services.GetRequiredService<ExecEndpoints>().Map(application);
        application.Services.GetRequiredService<SessionEndpoints>().Map(application);
        application.Services.GetRequiredService<FileEndpoints>().Map(application);
        application.Services.GetRequiredService<CheckpointEndpoints>().Map(application);
        application.Services.GetRequiredService<LimitEndpoints>().Map(application);
        application.Services.GetRequiredService<ScalingEndpoints>().Map(application);
        application.Services.GetRequiredService<PowerEndpoints>().Map(application);
        application.Services.GetRequiredService<FleetEndpoints>().Map(application);
        application.Services.GetRequiredService<UsageEndpoints>().Map(application);
        application.Services.GetRequiredService<PatchEndpoints>().Map(application);
        application.Services.GetRequiredService<SnapshotEndpoints>().Map(application);
        UnsupportedEndpoints.Map(application);
        application.Services.GetRequiredService<PreviewEndpoints>().Map(application);
        application.Services.GetRequiredService<PreviewProxy>().Map(application);
    }
}
