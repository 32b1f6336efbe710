namespace OpenSandbox.Cgroups.Tests;

/// <summary>Against a directory: the calls are those of a cgroup, the kernel's meaning of the files is tested in a guest.</summary>
public sealed class CgroupTests : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("cgroup-").FullName;

    [Fact]
    public void Apply_GivenLimits_WritesTheirFilesOnly()
    {
        string[] files = ["pids.max", "memory.max", "cpu.max", "memory.oom.group"];
        foreach (string file in files)
        {
            File.WriteAllText(Path.Combine(_root, file), "");
        }

        using Cgroup group = Cgroup.Open(_root);
        group.Apply(new CgroupLimits { PidsMax = 128, CpuMaxPercent = 160 });

        Assert.Equal("128||160000 100000|", string.Join('|', files.Select(file => File.ReadAllText(Path.Combine(_root, file)))));
    }

    [Fact]
    public void Write_MissingFile_NamesFileAndErrno()
    {
        using Cgroup group = Cgroup.Open(_root);
        CgroupException exception = Assert.Throws<CgroupException>(() => group.Write("pids.max", "1"));
        Assert.Equal(2, exception.Errno);
        Assert.Contains("pids.max", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Children_AreMadeOnceAndRemovedWhenEmpty()
    {
        using Cgroup group = Cgroup.Open(_root);
        using (Cgroup child = group.CreateChild("a"))
        using (Cgroup again = group.CreateChild("a"))
        using (child.CreateChild("b"))
        {
            Assert.False(group.TryRemoveChild("a"));
            Assert.True(child.TryRemoveChild("b"));
        }

        Assert.True(group.TryRemoveChild("a"));
        Assert.True(group.TryRemoveChild("a"));
        Assert.Throws<CgroupException>(() => group.OpenChild("a"));
    }

    [Theory]
    [InlineData("..")]
    [InlineData(".")]
    [InlineData("a/b")]
    [InlineData("a\0")]
    [InlineData("")]
    public void CreateChild_NameThatIsNoName_IsRefused(string name)
    {
        using Cgroup group = Cgroup.Open(_root);
        Assert.ThrowsAny<ArgumentException>(() => group.CreateChild(name));
    }

    [Fact]
    public void Statistics_ReadFlatKeyedFiles()
    {
        File.WriteAllText(Path.Combine(_root, "cgroup.events"), "populated 1\nfrozen 0\n");
        File.WriteAllText(Path.Combine(_root, "cpu.stat"), "usage_usec 1234\nuser_usec 1000\n");
        using Cgroup group = Cgroup.Open(_root);
        Assert.True(group.IsPopulated);
        Assert.Equal(1234, group.CpuMicroseconds);
    }

    [Theory]
    [InlineData("a 1\nab 2\n", "ab", 2L)]
    [InlineData("ab 2", "a", null)]
    [InlineData("a x\n", "a", null)]
    [InlineData("a 1x\n", "a", null)]
    [InlineData("", "a", null)]
    public void Value_OfKey_IsExact(string content, string key, long? expected) =>
        Assert.Equal(
            expected,
            CgroupStatistics.Value(System.Text.Encoding.ASCII.GetBytes(content), System.Text.Encoding.ASCII.GetBytes(key)));

    public void Dispose() => Directory.Delete(_root, recursive: true);
}
