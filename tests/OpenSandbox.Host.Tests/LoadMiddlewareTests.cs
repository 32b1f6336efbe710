using Microsoft.AspNetCore.Http;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Protection;
using OpenSandbox.Host.Security;

namespace OpenSandbox.Host.Tests;

public sealed class LoadMiddlewareTests
{
    private const string Preview = "sb-0123abcd-p80.localhost";
    private const string OtherPreview = "sb-0123abce-p80.localhost";
    private readonly TaskCompletionSource _end = new(TaskCreationOptions.RunContinuationsAsynchronously);

    [Fact]
    public async Task Previews_AsManyAsMayBe_LeaveRoomForTheApi()
    {
        LoadMiddleware load = Create(most: 4);
        Task[] under = [load.InvokeAsync(Request(Preview)), load.InvokeAsync(Request("localhost", "/preview/sb-0123abce/80/", "sb-0123abce"))];

        await AssertBusyAsync(load, Request(Preview));
        await AssertBusyAsync(load, Request("localhost", "/preview/sb-0123abcd/80/", "sb-0123abcd"));
        await AssertBusyAsync(load, Request("sb-nothing.localhost"));
        Task[] api = [load.InvokeAsync(Request("localhost")), load.InvokeAsync(Request("localhost"))];
        await AssertBusyAsync(load, Request("localhost"));

        _end.SetResult();
        await Task.WhenAll([.. under, .. api]).WaitAsync(Deadline.In(30));
        await load.InvokeAsync(Request(Preview)).WaitAsync(Deadline.In(30)); // places are given back
    }

    [Fact]
    public async Task Previews_OfOneSandbox_LeaveRoomForOthers()
    {
        LoadMiddleware load = Create(most: 4 * PreviewPlaces.MaxOfOne);
        Task[] under = [.. Enumerable.Range(0, PreviewPlaces.MaxOfOne).Select(_ => load.InvokeAsync(Request(Preview)))];

        await AssertBusyAsync(load, Request(Preview));
        Task other = load.InvokeAsync(Request(OtherPreview));
        Assert.False(other.IsCompleted);

        _end.SetResult();
        await Task.WhenAll([.. under, other]).WaitAsync(Deadline.In(30));
    }

    [Fact]
    public async Task Probes_AreAlwaysAnswered_UnlessTheHostIsAPreview()
    {
        LoadMiddleware load = Create(most: 1);
        Task under = load.InvokeAsync(Request("localhost"));
        Task probe = load.InvokeAsync(Probe("localhost"));
        Assert.False(probe.IsFaulted);

        await AssertBusyAsync(load, Probe(Preview));

        _end.SetResult();
        await Task.WhenAll(under, probe).WaitAsync(Deadline.In(30));
    }

    private static async Task AssertBusyAsync(LoadMiddleware load, HttpContext request)
    {
        ApiException refused = await Assert.ThrowsAsync<ApiException>(() => load.InvokeAsync(request).WaitAsync(Deadline.In(30)));
        Assert.Equal((503, "busy", true, 1), (refused.Status, refused.Code, refused.Retryable, refused.RetryAfter));
    }

    private static DefaultHttpContext Request(string host, string path = "/api/sandboxes", string? id = null)
    {
        var context = new DefaultHttpContext();
        context.Request.Host = new HostString(host);
        context.Request.Path = path;
        context.Request.RouteValues["id"] = id;
        return context;
    }

    private static DefaultHttpContext Probe(string host)
    {
        DefaultHttpContext context = Request(host, "/health");
        context.SetEndpoint(new Endpoint(null, new EndpointMetadataCollection(new OpenAccess(FromAnywhere: false) { IsProbe = true }), "health"));
        return context;
    }

    private LoadMiddleware Create(int most) => new(_ => _end.Task, new ServerOptions { MaxConcurrentRequests = most });
}
