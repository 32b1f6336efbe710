using System.Net;
using System.Net.Http.Headers;
using Microsoft.AspNetCore.Http;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Previews;
using OpenSandbox.Host.Records;
using OpenSandbox.Host.Security;

namespace OpenSandbox.Host.Tests;

public sealed class PreviewHeadersTests
{
    private const string Key = "osb_right+";
    private static readonly PreviewTarget s_byHost = new("sb-1", 80, "");
    private static readonly PreviewTarget s_byPath = new("sb-1", 80, "/preview/sb-1/80");

    [Theory]
    [InlineData("/", "/")]
    [InlineData("/a%2f../b?c=d&api_key=&e", "/a%2f../b?c=d&api_key=&e")]
    [InlineData("/?api_key=other", "/?api_key=other")]
    [InlineData("/?token=osb_right%2B", "/?token=osb_right%2B")]
    [InlineData("/a?api_key=osb_right%2B", "/a")]
    [InlineData("/a?API_KEY=osb_right%2B&b=c", "/a?b=c")]
    [InlineData("/a?b=c&api%5fkey=%6fsb_right%2b&d", "/a?b=c&d")]
    [InlineData("/a?api_key=osb_right%2B&api_key=osb_right%2b", "/a")]
    public void UriOf_TheServersKeys_DoNotGoOn(string target, string expected)
    {
        Assert.Equal(expected, Create().UriOf(s_byHost, target).PathAndQuery);
        Assert.Equal(expected, Create().UriOf(s_byPath, s_byPath.Prefix + target).PathAndQuery);
    }

    [Theory]
    [InlineData("*")]
    [InlineData("http://sb-1-p80.localhost/")]
    [InlineData("/a b")]
    [InlineData("/a\tb")]
    [InlineData("/a\u007f")]
    [InlineData("/é")]
    public void UriOf_WhatIsNoTarget_IsRefused(string target) =>
        Assert.Equal(400, Assert.Throws<ApiException>(() => Create().UriOf(s_byHost, target)).Status);

    [Fact]
    public void CopyRequest_RefererWithAKey_GoesOnWithoutIt()
    {
        var context = new DefaultHttpContext();
        context.Request.Headers.Referer = "http://localhost/preview/sb-1/80/?a=b&api_key=osb_right%2B";
        using var request = new HttpRequestMessage();
        Create().CopyRequest(context, s_byPath, new SandboxEntry { Id = "sb-1", StartedAt = DateTimeOffset.UnixEpoch }, request, upgrade: false);

        Assert.Equal(["http://localhost/preview/sb-1/80/?a=b"], request.Headers.GetValues("Referer"));
    }

    [Theory]
    [InlineData("abc")]
    [InlineData("-1")]
    [InlineData("+1")]
    [InlineData("1, 1")]
    [InlineData("99999999999999999999")]
    public void CopyResponse_LengthThatIsNone_IsLeftOut(string length)
    {
        Assert.False(Copied(length).ContainsKey("Content-Length"));
        Assert.Equal("17", Copied("17")["Content-Length"]);

        static IHeaderDictionary Copied(string length)
        {
            using var program = new HttpResponseMessage(HttpStatusCode.OK) { Content = new StreamContent(Stream.Null) };
            HttpContentHeaders headers = program.Content.Headers;
            Assert.True(headers.TryAddWithoutValidation("Content-Length", length));
            var context = new DefaultHttpContext();
            PreviewHeaders.CopyResponse(program, context.Response, s_byHost, upgrade: false);
            return context.Response.Headers;
        }
    }

    private static PreviewHeaders Create()
    {
        var options = new ServerOptions { ApiKeys = [Key] };
        return new PreviewHeaders(new ApiKeyStore(options, new ErrorLog().CreateLogger("keys")), options);
    }
}
