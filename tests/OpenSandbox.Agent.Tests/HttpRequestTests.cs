using System.Text;
using FsCheck;
using FsCheck.Fluent;

namespace OpenSandbox.Agent.Tests;

public sealed class HttpRequestTests
{
    [Theory]
    [InlineData("GET / HTTP/1.1\r\n\r\n", "GET", "/", 0)]
    [InlineData("GET /v1/status?a=b HTTP/1.0\r\nHost: x\r\n\r\n", "GET", "/v1/status", 0)]
    [InlineData("POST /v1/scale HTTP/1.1\r\ncontent-length:  17 \r\nX-Y: \u00e4 z\r\n\r\n", "POST", "/v1/scale", 17)]
    [InlineData("GET http://169.254.169.254 HTTP/1.1\r\n\r\n", "GET", "/", 0)]
    [InlineData("GET http://h/v1/limits HTTP/1.1\r\n\r\n", "GET", "/v1/limits", 0)]
    [InlineData("PROPFIND /x HTTP/1.1\r\nContent-Length: 4096\r\n\r\n", "PROPFIND", "/x", 4096)]
    public void TryParse_Request_IsUnderstood(string text, string method, string path, int length)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);

        Assert.True(HttpRequest.TryParse([.. bytes, 1, 2, 3], out HttpRequest request));
        Assert.Equal(new HttpRequest(method, path, bytes.Length, length), request);
        for (int i = 0; i < bytes.Length; i++)
        {
            Assert.False(HttpRequest.TryParse(bytes.AsSpan(0, i), out _));
        }
    }

    [Theory]
    [InlineData("\r\n\r\n")]
    [InlineData("GET /\r\n\r\n")]
    [InlineData("GET / HTTP/2.0\r\n\r\n")]
    [InlineData("GET / HTTP/1.1 \r\n\r\n")]
    [InlineData("get / HTTP/1.1\r\n\r\n")]
    [InlineData("GET  HTTP/1.1\r\n\r\n")]
    [InlineData("GET /a b HTTP/1.1\r\n\r\n")]
    [InlineData("GET a HTTP/1.1\r\n\r\n")]
    [InlineData("GET * HTTP/1.1\r\n\r\n")]
    [InlineData("ABCDEFGHIJKLMNOPQ / HTTP/1.1\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nnocolon\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\n: x\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nA : x\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nA: x\r\n folded\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nA: x\ny: z\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nContent-Length: \r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nContent-Length: 4097\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n")]
    public void TryParse_WhatIsNoRequest_IsRefused(string text) => Assert.Null(HttpRequest.TryParse(Encoding.ASCII.GetBytes(text), out _));

    [Fact]
    public void TryParse_HeadWithoutAnEnd_IsRefusedAtItsBound()
    {
        byte[] head = Encoding.ASCII.GetBytes("GET / HTTP/1.1\r\nA: " + new string('x', HttpRequest.MaxHead));

        Assert.False(HttpRequest.TryParse(head.AsSpan(0, HttpRequest.MaxHead - 1), out _));
        Assert.Null(HttpRequest.TryParse(head.AsSpan(0, HttpRequest.MaxHead), out _));
    }

    [Fact]
    public void TryParse_AnyBytes_NeverThrowsAndKeepsItsBounds()
    {
        Gen<byte[]> nearly = Gen.Elements(
                "GET ", "/", " HTTP/1.1", "\r\n", "\r\n\r\n", "Content-Length", ":", " ", "5", "x", "\0", "\u00ff", "POST /v1/scale HTTP/1.1\r\n", "http://")
            .ArrayOf(12).Select(static parts => Encoding.Latin1.GetBytes(string.Concat(parts)));
        Check.One(
            Config.QuickThrowOnFailure.WithMaxTest(20_000),
            Prop.ForAll(
                nearly.ToArbitrary(),
                bytes => HttpRequest.TryParse(bytes, out HttpRequest request) != true
                    || (request.Path[0] == '/' && request.BodyLength is >= 0 and <= HttpRequest.MaxBody && request.HeadLength <= bytes.Length)));
    }
}
