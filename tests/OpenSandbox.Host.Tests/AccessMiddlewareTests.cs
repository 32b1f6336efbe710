using Microsoft.AspNetCore.Http;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Protection;
using OpenSandbox.Host.Security;

namespace OpenSandbox.Host.Tests;

public sealed class AccessMiddlewareTests
{
    private const string Key = "osb_right";

    [Theory]
    [InlineData("X-API-Key", Key)]
    [InlineData("x-api-key", Key)]
    [InlineData("Authorization", "Bearer " + Key)]
    [InlineData("Authorization", "bearer " + Key)]
    public async Task Key_InAHeader_LetsIn(string header, string value)
    {
        DefaultHttpContext context = Request();
        context.Request.Headers[header] = value;

        Assert.True(await PassesAsync(context, Key));
        Assert.NotNull(context.Items[AccessMiddleware.ClientId]);
    }

    [Fact]
    public async Task Key_InTheQuery_LetsIn()
    {
        DefaultHttpContext context = Request();
        context.Request.QueryString = new QueryString("?api_key=" + Key);

        Assert.True(await PassesAsync(context, Key));
    }

    [Theory]
    [InlineData(null, null)]
    [InlineData("X-API-Key", "")]
    [InlineData("Authorization", "Basic b3NiX3JpZ2h0")]
    [InlineData("Authorization", "Bearer ")]
    public async Task Key_Missing_Is401(string? header, string? value)
    {
        DefaultHttpContext context = Request();
        if (header is not null)
        {
            context.Request.Headers[header] = value;
        }

        ApiException failure = await Assert.ThrowsAsync<ApiException>(() => PassesAsync(context, Key));

        Assert.Equal((401, "missing API key"), (failure.Status, failure.Message));
    }

    [Theory]
    [InlineData("X-API-Key", "osb_wrong")]
    [InlineData("X-API-Key", Key + " ")]
    [InlineData("X-API-Key", Key + "," + Key)]
    [InlineData("X-API-Key", "OSB_RIGHT")]
    [InlineData("Authorization", "Bearer a.b.c")]
    public async Task Key_Wrong_Is403(string header, string value)
    {
        DefaultHttpContext context = Request();
        context.Request.Headers[header] = value;

        ApiException failure = await Assert.ThrowsAsync<ApiException>(() => PassesAsync(context, Key));

        Assert.Equal((403, "invalid API key"), (failure.Status, failure.Message));
    }

    [Fact]
    public async Task Key_GivenTwice_IsNotOneOfThem()
    {
        DefaultHttpContext context = Request();
        context.Request.Headers["X-API-Key"] = new[] { Key, Key };

        Assert.Equal(403, (await Assert.ThrowsAsync<ApiException>(() => PassesAsync(context, Key))).Status);
    }

    [Theory]
    [InlineData("localhost:8080", null)]
    [InlineData("127.0.0.1:8080", null)]
    [InlineData("[::1]:8080", null)]
    [InlineData("sb-1-p80.localhost", null)]
    [InlineData("localhost:8080", "http://localhost:8080")]
    [InlineData("previews.example", null)]
    [InlineData("public.example", "https://public.example")]
    public async Task NoKeys_OwnNames_AreLetIn(string host, string? origin) => Assert.True(await PassesAsync(Request(host, origin)));

    [Theory]
    [InlineData("evil.example", null)]
    [InlineData("localhost.evil.example", null)]
    [InlineData("127.0.0.1.evil.example", null)]
    [InlineData("localhost:8080", "http://evil.example")]
    [InlineData("localhost:8080", "http://localhost:9090")]
    [InlineData("localhost:8080", "null")]
    [InlineData("localhost:8080", "file://")]
    [InlineData("127.0.0.1:8080", "http://localhost:8080")]
    public async Task NoKeys_WebPagesOfOthers_AreNot(string host, string? origin)
    {
        ApiException failure = await Assert.ThrowsAsync<ApiException>(() => PassesAsync(Request(host, origin)));

        Assert.Equal(403, failure.Status);
    }

    [Fact]
    public async Task WithKeys_AnyPage_MayUseOne()
    {
        DefaultHttpContext context = Request("any.example", "https://page.example");
        context.Request.Headers["X-API-Key"] = Key;

        Assert.True(await PassesAsync(context, Key));
        Assert.Equal("*", context.Response.Headers.AccessControlAllowOrigin.ToString());
    }

    [Fact]
    public async Task OpenRoutes_NeedNoKey()
    {
        DefaultHttpContext context = Request();
        context.SetEndpoint(new Endpoint(null, new EndpointMetadataCollection(new OpenAccess(FromAnywhere: false)), "health"));

        Assert.True(await PassesAsync(context, Key));
    }

    [Fact]
    public async Task WrongKeys_CannotBeTriedFasterThanTheRate()
    {
        var options = new ServerOptions { ApiKeys = [Key], RequestsPerSecond = 5, Sandboxes = new SandboxHostOptions { TimeProvider = new ManualClock() } };
        AccessMiddleware access = Create(options, static _ => Task.CompletedTask);
        int[] statuses = new int[11];
        for (int i = 0; i < statuses.Length; i++)
        {
            DefaultHttpContext context = Request();
            context.Request.Headers["X-API-Key"] = $"guess-{i}";
            statuses[i] = (await Assert.ThrowsAsync<ApiException>(() => access.InvokeAsync(context))).Status;
        }

        Assert.Equal([.. Enumerable.Repeat(403, 10), 429], statuses);
        DefaultHttpContext right = Request();
        right.Request.Headers["X-API-Key"] = Key;
        await access.InvokeAsync(right); // who has a key is not held up by who has none
    }

    private static DefaultHttpContext Request(string host = "localhost:8080", string? origin = null)
    {
        var context = new DefaultHttpContext();
        context.Request.Host = new HostString(host);
        context.Request.Path = "/api/sandboxes";
        if (origin is not null)
        {
            context.Request.Headers.Origin = origin;
        }

        return context;
    }

    private static async Task<bool> PassesAsync(DefaultHttpContext context, params string[] keys)
    {
        bool passed = false;
        var options = new ServerOptions
        {
            ApiKeys = keys,
            PreviewDomain = "previews.example",
            PublicUrl = new Uri("https://public.example"),
        };
        await Create(options, _ =>
        {
            passed = true;
            return Task.CompletedTask;
        }).InvokeAsync(context);
        return passed;
    }

    private static AccessMiddleware Create(ServerOptions options, RequestDelegate next)
    {
        var keys = new ApiKeyStore(options, new ErrorLog().CreateLogger("keys"));
        return new AccessMiddleware(next, keys, new RequestRates(options), options);
    }
}
