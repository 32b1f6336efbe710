using Microsoft.AspNetCore.Http;

namespace OpenSandbox.Host.Tests;

public sealed class ServerOptionsTests
{
    public static TheoryData<ServerOptions, string> Wrong => new()
    {
        { new ServerOptions { MaxBodyBytes = 1_023 }, "MaxBodyBytes of 1023" },
        { new ServerOptions { MaxBodyBytes = (1L << 30) + 1 }, "MaxBodyBytes" },
        { new ServerOptions { MaxFileBytes = -1 }, "MaxFileBytes" },
        { new ServerOptions { MaxConcurrentRequests = 0 }, "MaxConcurrentRequests" },
        { new ServerOptions { MaxConnections = 100_001 }, "MaxConnections" },
        { new ServerOptions { RequestsPerSecond = 0 }, "RequestsPerSecond" },
        { new ServerOptions { DefaultIdleTimeout = TimeSpan.FromSeconds(-1) }, "DefaultIdleTimeout" },
        { new ServerOptions { ShutdownTimeout = TimeSpan.FromHours(2) }, "ShutdownTimeout" },
        { new ServerOptions { PublicUrl = new Uri("ftp://example.org") }, "PublicUrl" },
        { new ServerOptions { PublicUrl = new Uri("/api", UriKind.Relative) }, "PublicUrl" },
        { new ServerOptions { PublicUrl = new Uri("https://example.org/?a=b") }, "PublicUrl" },
        { new ServerOptions { PreviewDomain = "" }, "PreviewDomain" },
        { new ServerOptions { PreviewDomain = "127.0.0.1" }, "PreviewDomain" },
        { new ServerOptions { PreviewDomain = "a b" }, "PreviewDomain" },
        { new ServerOptions { ApiKeys = [""] }, "1 to 512 visible ASCII characters" },
        { new ServerOptions { ApiKeys = ["a b"] }, "visible" },
        { new ServerOptions { ApiKeys = ["ключ"] }, "visible" },
        { new ServerOptions { ApiKeys = [new string('k', 513)] }, "512" },
    };

    [Theory]
    [MemberData(nameof(Wrong))]
    public void Validate_WrongValue_SaysWhatAndWhy(ServerOptions options, string text)
    {
        ArgumentException failure = Assert.ThrowsAny<ArgumentException>(options.Validate);

        Assert.Contains(text, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Validate_Defaults_AreAccepted() => new ServerOptions().Validate();

    [Fact]
    public async Task Start_BeyondThisMachineWithoutKey_IsRefused()
    {
        var options = new ServerOptions { Listen = ListenAddress.Parse("0.0.0.0:0"), ApiKeys = [] };

        ArgumentException failure = await Assert.ThrowsAnyAsync<ArgumentException>(() => OpenSandboxServer.StartAsync(options, cancellationToken: Deadline.In(30)));

        Assert.Contains("--allow-anonymous-remote", failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(null, "http://a.example:81")]
    [InlineData("https://b.example/", "https://b.example")]
    [InlineData("https://b.example/osb/", "https://b.example/osb")]
    public void BaseUrl_IsThatOfTheOperatorElseOfTheRequest(string? configured, string expected)
    {
        var options = new ServerOptions { PublicUrl = configured is null ? null : new Uri(configured) };
        var context = new DefaultHttpContext();
        context.Request.Scheme = "http";
        context.Request.Host = new HostString("a.example", 81);

        Assert.Equal(expected, options.BaseUrl(context));
    }

    [Theory]
    [InlineData("")]
    [InlineData("x:99999")]
    [InlineData("x:y")]
    public void BaseUri_HostThatIsNone_IsRefused(string host)
    {
        var context = new DefaultHttpContext();
        context.Request.Scheme = "http";
        context.Request.Host = new HostString(host);

        Assert.Equal(400, Assert.Throws<Errors.ApiException>(() => new ServerOptions().BaseUri(context)).Status);
        Assert.Equal("https://example.org/", new ServerOptions { PublicUrl = new Uri("https://example.org") }.BaseUri(context).AbsoluteUri);
    }
}
