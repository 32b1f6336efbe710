using FsCheck;
using FsCheck.Fluent;

namespace OpenSandbox.Host.Tests;

public sealed class ListenAddressTests
{
    [Theory]
    [InlineData("127.0.0.1:8080", "127.0.0.1:8080", true)]
    [InlineData("localhost:1", "127.0.0.1:1", true)]
    [InlineData(":0", "127.0.0.1:0", true)]
    [InlineData("0.0.0.0:65535", "0.0.0.0:65535", false)]
    [InlineData("*:80", "0.0.0.0:80", false)]
    [InlineData("[::1]:80", "[::1]:80", true)]
    [InlineData("[::]:80", "[::]:80", false)]
    [InlineData("192.0.2.7:80", "192.0.2.7:80", false)]
    [InlineData("127.8.9.10:80", "127.8.9.10:80", true)]
    [InlineData("unix:/run/a.sock", "unix:/run/a.sock", true)]
    public void Parse_GoodText_IsUnderstood(string text, string canonical, bool local)
    {
        ListenAddress address = ListenAddress.Parse(text);

        Assert.Equal(canonical, address.ToString());
        Assert.Equal(local, address.IsLocal);
        Assert.Equal(address, ListenAddress.Parse(address.ToString()));
    }

    [Theory]
    [InlineData("")]
    [InlineData("8080")]
    [InlineData("127.0.0.1")]
    [InlineData("127.0.0.1:")]
    [InlineData("127.0.0.1:65536")]
    [InlineData("127.0.0.1:-1")]
    [InlineData("127.0.0.1: 80")]
    [InlineData("::1:80")]
    [InlineData("[127.0.0.1]:80")]
    [InlineData("[::1:80")]
    [InlineData("example.org:80")]
    [InlineData("http://127.0.0.1:80")]
    [InlineData("unix:")]
    public void Parse_BadText_SaysWhatIsWrong(string text)
    {
        FormatException failure = Assert.Throws<FormatException>(() => ListenAddress.Parse(text));

        Assert.Contains($"'{text}'", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Parse_SocketPath_IsBoundedByTheKernel()
    {
        string longest = "/" + new string('s', 106);

        Assert.Equal(longest, ListenAddress.Parse("unix:" + longest).SocketPath);
        Assert.Throws<FormatException>(() => ListenAddress.Parse("unix:" + longest + "s"));
        Assert.Throws<FormatException>(() => ListenAddress.Parse("unix:/" + new string('ü', 54)));
    }

    [Fact]
    public void Parse_AnyText_IsUnderstoodOrRefusedWithAFormatException() => Properties.ForAll(Properties.Text, static text =>
    {
        try
        {
            ListenAddress address = ListenAddress.Parse(text);
            return ListenAddress.Parse(address.ToString()).ToString() == address.ToString();
        }
        catch (FormatException)
        {
            return true;
        }
    });
}
