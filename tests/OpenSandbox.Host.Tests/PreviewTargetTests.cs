using OpenSandbox.Host.Previews;

namespace OpenSandbox.Host.Tests;

public sealed class PreviewTargetTests
{
    [Theory]
    [InlineData("sb-0123abcd-p80.localhost", "localhost", "sb-0123abcd", 80)]
    [InlineData("SB-0123ABCD-P65535.LocalHost", "localhost", "sb-0123abcd", 65_535)]
    [InlineData("sb-0123abcd-p1.localhost.", "localhost", "sb-0123abcd", 1)]
    [InlineData("sb-a-p2-p3.previews.example.org", "previews.example.org", "sb-a-p2", 3)]
    public void TryFromHost_NameOfAPort_IsRead(string host, string domain, string id, int port)
    {
        Assert.True(PreviewTarget.TryFromHost(host, domain, out PreviewTarget target));
        Assert.Equal(new PreviewTarget(id, port, ""), target);
        Assert.True(PreviewTarget.IsPreviewHost(host, domain));
    }

    [Theory]
    [InlineData("sb-0123abcd-p0.localhost")]
    [InlineData("sb-0123abcd-p080.localhost")]
    [InlineData("sb-0123abcd-p65536.localhost")]
    [InlineData("sb-0123abcd-p-1.localhost")]
    [InlineData("sb-0123abcd-p.localhost")]
    [InlineData("sb-0123abcd.localhost")]
    [InlineData("sb-012_abcd-p80.localhost")]
    public void TryFromHost_SandboxNameWithoutAPort_IsNoTargetAndNotTheServers(string host)
    {
        Assert.False(PreviewTarget.TryFromHost(host, "localhost", out _));
        Assert.True(PreviewTarget.IsPreviewHost(host, "localhost"));
    }

    [Theory]
    [InlineData("localhost")]
    [InlineData("127.0.0.1")]
    [InlineData("")]
    [InlineData(".localhost")]
    [InlineData("sb-0123abcd-p80.localhost.evil.example")]
    [InlineData("sb-0123abcd-p80localhost")]
    [InlineData("a.sb-0123abcd-p80.localhost")]
    [InlineData("api.localhost")]
    public void IsPreviewHost_OtherName_IsTheServers(string host)
    {
        Assert.False(PreviewTarget.IsPreviewHost(host, "localhost"));
        Assert.False(PreviewTarget.TryFromHost(host, "localhost", out _));
    }

    [Fact]
    public void TryFromPath_SandboxAndPort_HasAPrefix()
    {
        Assert.True(PreviewTarget.TryFromPath("sb-1", "8080", out PreviewTarget target));
        Assert.Equal(new PreviewTarget("sb-1", 8_080, "/preview/sb-1/8080"), target);
        Assert.False(PreviewTarget.TryFromPath("sb-1", "+80", out _));
        Assert.False(PreviewTarget.TryFromPath("../x", "80", out _));
        Assert.False(PreviewTarget.TryFromPath("", "80", out _));
    }
}
