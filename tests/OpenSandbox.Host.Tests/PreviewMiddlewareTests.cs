using System.Net;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging.Abstractions;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Previews;
using OpenSandbox.Host.Protection;
using OpenSandbox.Host.Records;
using OpenSandbox.Host.Sandboxes;
using OpenSandbox.Host.Security;

namespace OpenSandbox.Host.Tests;

public sealed class PreviewMiddlewareTests : IDisposable
{
    private readonly string _state = Directory.CreateTempSubdirectory("previews-").FullName;

    public void Dispose() => Directory.Delete(_state, recursive: true);

    [Theory]
    [InlineData("sb-0123abcd-p80.localhost")]
    [InlineData("sb-0123abcd.localhost")]
    public async Task Guesses_ByHostName_CannotBeMadeFasterThanTheRate(string host)
    {
        var options = new ServerOptions { RequestsPerSecond = 5, Sandboxes = new SandboxHostOptions { TimeProvider = new ManualClock() } };
        using var sandboxes = new SandboxService(null!, new EntryStore(_state, NullLogger.Instance), options, NullLogger<SandboxService>.Instance);
        using var proxy = new PreviewProxy(sandboxes, new PreviewHeaders(new ApiKeyStore(options, NullLogger.Instance), options), options);
        var previews = new PreviewMiddleware(static _ => throw new InvalidOperationException("not a preview"), proxy, new RequestRates(options), options);
        int[] statuses = new int[11];
        for (int i = 0; i < statuses.Length; i++)
        {
            statuses[i] = (await Assert.ThrowsAsync<ApiException>(() => previews.InvokeAsync(Request(host, "192.0.2.1")))).Status;
        }

        Assert.Equal([.. Enumerable.Repeat(404, 10), 429], statuses);
        Assert.Equal(404, (await Assert.ThrowsAsync<ApiException>(() => previews.InvokeAsync(Request(host, "192.0.2.2")))).Status);
    }

    private static DefaultHttpContext Request(string host, string address)
    {
        var context = new DefaultHttpContext();
        context.Request.Host = new HostString(host);
        context.Connection.RemoteIpAddress = IPAddress.Parse(address);
        return context;
    }
}
