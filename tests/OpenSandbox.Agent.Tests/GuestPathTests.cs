using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent.Tests;

public sealed class GuestPathTests
{
    [Theory]
    [InlineData("/a//", "/a")]
    [InlineData("/", "/")]
    [InlineData("//", "/")]
    [InlineData("/a/../b", "/a/../b")]
    public void Check_AbsolutePath_LosesTrailingSlashesOnly(string path, string expected) => Assert.Equal(expected, GuestPath.Check(path));

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("a")]
    [InlineData("/a\0b")]
    public void Check_OtherPath_IsRefused(string? path) =>
        Assert.Equal(AgentErrorCodes.InvalidRequest, Assert.Throws<GuestException>(() => GuestPath.Check(path)).Code);

    [Fact]
    public void Check_LengthInBytes_IsBounded()
    {
        Assert.NotEmpty(GuestPath.Check("/" + new string('a', 4094)));
        Assert.Throws<GuestException>(() => GuestPath.Check("/" + new string('a', 4095)));
        Assert.Throws<GuestException>(() => GuestPath.Check("/" + new string('é', 2048)));
    }

    [Fact]
    public void Split_Path_GivesDirectoryAndName()
    {
        Assert.Equal(("/", "a"), GuestPath.Split("/a"));
        Assert.Equal(("/a/b", "c"), GuestPath.Split("/a/b/c"));
        Assert.Throws<GuestException>(() => GuestPath.Split("/"));
        Assert.Throws<GuestException>(() => GuestPath.Split("/a/.."));
    }
}
