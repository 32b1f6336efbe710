using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent.Tests;

public sealed class UserDatabaseTests : IDisposable
{
    private readonly string _passwd = Path.GetTempFileName();
    private readonly string _group = Path.GetTempFileName();

    [Fact]
    public void Find_KnownName_HasAllGroups()
    {
        UserDatabase users = Create(
            "root:x:0:0:root:/root:/bin/bash\nsandbox:x:1000:1001:,,,:/home/sandbox:\n",
            "root:x:0:\nsudo:x:27:other,sandbox\nsandbox:x:1001:\nbroken:x:abc:sandbox\n");

        GuestUser user = users.Find("sandbox");

        Assert.Equal((1000u, 1001u, "/home/sandbox", "/bin/sh"), (user.Uid, user.Gid, user.Home, user.Shell));
        Assert.Equal([1001u, 27u], user.Groups);
    }

    [Fact]
    public void Names_Files_GiveTheFirstNameOfEachNumber()
    {
        UserDatabase users = Create("a:x:5:5::/:\nb:x:5:6::/:\n:x:7:7::/:\nbroken\n", "g:x:5:\nh:x:x:\n");

        Assert.Equal(new Dictionary<uint, string> { [5] = "a" }, users.Names().Users);
        Assert.Equal(new Dictionary<uint, string> { [5] = "g" }, users.Names().Groups);
    }

    [Fact]
    public void FindGroup_NameOrNumber_IsFound()
    {
        UserDatabase users = Create("sandbox:x:1000:1001::/h:\n", "tty:x:5:\n12:x:13:\n");

        Assert.Equal(5u, users.FindGroup("tty"));
        Assert.Equal(13u, users.FindGroup("12")); // a name comes before a number
        Assert.Equal(99u, users.FindGroup("99"));
        Assert.Equal((1000u, 5u), users.FindOwner(null, "tty"));
        Assert.Equal((1000u, 1001u), users.FindOwner("sandbox", null));
        Assert.Equal(AgentErrorCodes.UnknownUser, Assert.Throws<GuestException>(() => users.FindGroup("none")).Code);
        Assert.Equal(AgentErrorCodes.InvalidRequest, Assert.Throws<GuestException>(() => users.FindGroup("")).Code);
    }

    [Fact]
    public void Find_NothingAsked_PrefersSandboxAndFallsBackToRoot()
    {
        Assert.Equal(1000u, Create("sandbox:x:1000:1000::/h:/bin/sh\n", "").Find(null).Uid);
        GuestUser root = Create("", "").Find(null);
        Assert.Equal((0u, "root", "/root"), (root.Uid, root.Name, root.Home));
    }

    [Theory]
    [InlineData("12:34", 12u, 34u)]
    [InlineData("12", 12u, 0u)]
    [InlineData("0:5", 0u, 5u)]
    public void Find_Numbers_NeedNoEntry(string text, uint uid, uint gid)
    {
        GuestUser user = Create("", "").Find(text);
        Assert.Equal((uid, gid), (user.Uid, user.Gid));
        Assert.Equal([gid], user.Groups);
    }

    [Theory]
    [InlineData("nobody-here", AgentErrorCodes.UnknownUser)]
    [InlineData("-1", AgentErrorCodes.UnknownUser)]
    [InlineData("4294967295", AgentErrorCodes.UnknownUser)]
    [InlineData("1:", AgentErrorCodes.InvalidRequest)]
    [InlineData(":1", AgentErrorCodes.InvalidRequest)]
    [InlineData("1:2:3", AgentErrorCodes.InvalidRequest)]
    [InlineData("", AgentErrorCodes.InvalidRequest)]
    public void Find_Impossible_IsRefused(string text, string code)
    {
        UserDatabase users = Create("root:x:0:0:root:/root:/bin/bash\n", "");
        Assert.Equal(code, Assert.Throws<GuestException>(() => users.Find(text)).Code);
    }

    [Fact]
    public void Find_HostileFiles_SkipsWhatMakesNoSense()
    {
        byte[] garbage = new byte[300_000];
        new Random(7).NextBytes(garbage);
        File.WriteAllBytes(_passwd, [.. garbage, .. "\na:x:7:7:g:/h:/s\n"u8]);
        File.WriteAllBytes(_group, garbage);
        Assert.Equal(7u, new UserDatabase(_passwd, _group).Find("a").Uid);
    }

    [Fact]
    public void Find_FileChanged_IsReadAgain()
    {
        UserDatabase users = Create("a:x:7:7::/h:/s\n", "");
        Assert.Equal(7u, users.Find("a").Uid);
        File.WriteAllText(_passwd, "a:x:8888:7::/h:/s\n"); // another size: changed even within one clock tick
        Assert.Equal(8888u, users.Find("a").Uid);
    }

    public void Dispose()
    {
        File.Delete(_passwd);
        File.Delete(_group);
    }

    private UserDatabase Create(string passwd, string group)
    {
        File.WriteAllText(_passwd, passwd);
        File.WriteAllText(_group, group);
        return new UserDatabase(_passwd, _group);
    }
}
