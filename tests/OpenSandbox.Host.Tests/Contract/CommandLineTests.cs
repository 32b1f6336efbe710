using OpenSandbox.Host.Api;

namespace OpenSandbox.Host.Tests.Contract;

public sealed class CommandLineTests
{
    [Theory]
    [InlineData("true", true, "true")]
    [InlineData("true", false, "true")]
    [InlineData(" ls  -l /tmp ", true, "ls|-l|/tmp")]
    [InlineData("npm run dev", false, "/bin/sh|-c|npm run dev")]
    [InlineData("echo $HOME", true, "/bin/sh|-c|echo $HOME")]
    [InlineData("a&&b", false, "/bin/sh|-c|a&&b")]
    public void CommandOf_NoArguments_IsAProgramOrALineForTheShell(string command, bool split, string expected) =>
        Assert.Equal(expected.Split('|'), ExecEndpoints.CommandOf(command, [], split));

    [Fact]
    public void CommandOf_Arguments_QuotesAndExpandsNothing() =>
        Assert.Equal(["a program", "$x", "y z"], ExecEndpoints.CommandOf("a program", ["$x", "y z"], split: true));
}
