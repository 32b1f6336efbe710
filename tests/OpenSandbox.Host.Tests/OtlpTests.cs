using System.Collections.Concurrent;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace OpenSandbox.Host.Tests;

/// <summary>Metrics, activities and the log reach a collector that the standard environment variables name.</summary>
[Collection(ServerFixture.Collection)]
public sealed class OtlpTests
{
    [SkippableFact]
    public async Task Serve_CollectorNamed_SendsAllThree()
    {
        Skip.If(ServerDirectory.MissingPrerequisite is not null, ServerDirectory.MissingPrerequisite);
        var received = new ConcurrentDictionary<string, byte[]>(StringComparer.Ordinal);
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrel(static kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        await using WebApplication collector = builder.Build();
        collector.Run(async context =>
        {
            using var body = new MemoryStream();
            await context.Request.Body.CopyToAsync(body, context.RequestAborted);
            received.AddOrUpdate(context.Request.Path, body.ToArray(), (_, before) => [.. before, .. body.ToArray()]);
        });
        await collector.StartAsync(Deadline.In(30));

        await using var directory = new ServerDirectory();
        var environment = new Dictionary<string, string>
        {
            ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.Urls.First(),
            ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf",
            ["OTEL_SERVICE_NAME"] = "a-name-of-its-own",
        };
        using ServeProcess server = await ServeProcess.StartAsync(directory.Options, environment);
        string sandbox = (await server.DoAsync("POST", "/api/sandboxes", """{"timeout":0,"memoryMB":512}""")).String("sandboxID");
        await server.DoAsync("POST", $"/api/sandboxes/{sandbox}/exec/run", """{"cmd":"true"}""");
        await server.DoAsync("DELETE", $"/api/sandboxes/{sandbox}");
        Assert.Equal(0, await server.StopAsync()); // what is left is sent at the end

        Assert.Equal(["/v1/logs", "/v1/metrics", "/v1/traces"], received.Keys.Order(StringComparer.Ordinal));
        Assert.All(received.Values, static body => Assert.True(Has(body, "a-name-of-its-own")));
        Assert.True(Has(received["/v1/metrics"], "opensandbox.exec.duration"));
        Assert.True(Has(received["/v1/metrics"], "http.server.request.duration"));
        Assert.True(Has(received["/v1/traces"], sandbox));
        Assert.True(Has(received["/v1/logs"], "Listening on"));
        Assert.All(received.Values, static body => Assert.False(Has(body, ServerFixture.Key)));
    }

    private static bool Has(byte[] body, string text) => body.AsSpan().IndexOf(System.Text.Encoding.UTF8.GetBytes(text)) >= 0;
}
