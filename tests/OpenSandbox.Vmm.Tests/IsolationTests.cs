using System.Text.Json;
using OpenSandbox.Vmm.Isolation;
using OpenSandbox.Vmm.Qemu;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Tests;

/// <summary>What is required, what comes of it, and where cgroups are looked for.</summary>
public sealed class IsolationTests
{
    private const string HybridMounts = """
        24 23 0:22 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
        25 24 0:23 / /sys/fs/cgroup/memory rw,relatime shared:3 master:1 - cgroup cgroup rw,memory
        26 24 0:24 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
        27 24 0:25 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
        """;

    private const string HybridCgroups = "5:memory:/user.slice/a:b\n4:cpu,cpuacct:/\n0::/user.slice/session-1.scope\n";

    [Fact]
    public void Mounts_OfAHybridHost_AreFoundByTheirKindNotByTheirPath()
    {
        List<CgroupMount> mounts = CgroupMount.Parse(HybridMounts);

        Assert.Equal(["/sys/fs/cgroup/memory", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/unified"], mounts.Select(static mount => mount.MountPoint));
        Assert.Equal([false, false, true], mounts.Select(static mount => mount.IsUnified));
        Assert.Equal(
            ["/sys/fs/cgroup/memory/user.slice/a:b", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/unified/user.slice/session-1.scope"],
            mounts.Select(static mount => mount.FindOwn(HybridCgroups)));
    }

    [Theory]
    [InlineData("/docker/1", "0::/docker/1", "/cg")]
    [InlineData("/docker/1", "0::/docker/1/vm", "/cg/vm")]
    [InlineData("/docker/1", "0::/", "/cg")]
    [InlineData("/docker/1", "0::/docker/11", "/cg/docker/11")]
    [InlineData("/", "0::/../other", null)]
    [InlineData("/", "3:memory:/a", null)]
    [InlineData("/", "nonsense", null)]
    public void Own_OfAMountInAContainer_IsWhereItIsSeen(string root, string own, string? expected) =>
        Assert.Equal(expected, new CgroupMount(true, [], root, "/cg").FindOwn(own));

    [Fact]
    public void Mounts_WithBlanksInTheirPaths_AreUnescaped() =>
        Assert.Equal("/a b", Assert.Single(CgroupMount.Parse("1 2 0:1 / /a\\040b rw - cgroup2 cgroup2 rw\nshort line\n")).MountPoint);

    [Fact]
    public void Sites_BelowATemporaryFileSystem_ConfineNothingAndAreRefused()
    {
        using var directory = new TemporaryDirectory();

        CgroupSites sites = CgroupSites.Find(directory.Path, prepare: true);

        Assert.Empty(sites.Sites);
        Assert.All(CgroupSites.AllControllers, control => Assert.Contains("no cgroup v2", sites.WhyNot(control), StringComparison.Ordinal));
        Assert.Empty(Directory.EnumerateFileSystemEntries(directory.Path));
    }

    [Fact]
    public void And_OfTwoRequirements_IsTheStricterOne()
    {
        IsolationRequirement rootless = IsolationRequirement.Require(IsolationLevel.Rootless, IsolationControl.ProcessLimit, IsolationControl.MemoryLimit);

        IsolationRequirement both = rootless.And(IsolationRequirement.Require(IsolationLevel.Full, IsolationControl.MemoryLimit));

        Assert.Equal(IsolationRequirement.Require(IsolationLevel.Full, IsolationControl.MemoryLimit, IsolationControl.ProcessLimit), both);
        Assert.Equal(rootless, IsolationRequirement.BestEffort.And(rootless));
        Assert.Equal(rootless, rootless.And(IsolationLevel.None));
        Assert.Equal(rootless, rootless.And(null));
        Assert.Equal(IsolationRequirement.BestEffort, IsolationRequirement.BestEffort.And(IsolationLevel.None));
        Assert.Equal(IsolationRequirement.BestEffort, ((IsolationRequirement)IsolationLevel.None).And(IsolationRequirement.BestEffort));
    }

    [Theory]
    [InlineData(IsolationLevel.Full, true, true, IsolationLevel.Full)]
    [InlineData(IsolationLevel.Full, true, false, IsolationLevel.Full)]
    [InlineData(IsolationLevel.Rootless, true, true, IsolationLevel.Full)]
    [InlineData(IsolationLevel.Rootless, false, true, IsolationLevel.Rootless)]
    [InlineData(IsolationLevel.None, true, true, IsolationLevel.None)]
    [InlineData(IsolationLevel.None, false, true, IsolationLevel.None)]
    [InlineData(null, true, true, IsolationLevel.Full)]
    [InlineData(null, true, false, IsolationLevel.None)]
    [InlineData(null, false, true, IsolationLevel.Rootless)]
    public void Mode_OfARequirement_IsNeverWeakerThanIt(IsolationLevel? required, bool isRoot, bool fullWorks, IsolationLevel expected) =>
        Assert.Equal(expected, Jail.ModeOf(IsolationRequirement.Make(required, []), isRoot, fullWorks));

    [Fact]
    public void Options_OfTheRootlessJail_RequireWhatTheLevelConsistsOf()
    {
        Assert.Equal(
            ["--isolation", "rootless", "--require", "namespaces,filesystem-root,bounding-set,file-rules"],
            Jail.Options(IsolationLevel.Rootless, IsolationLevel.Rootless, null));
        Assert.Equal(["--isolation", "rootless"], Jail.Options(IsolationLevel.Rootless, IsolationRequirement.BestEffort, null));
        Assert.Equal(
            ["--isolation", "full", "--require", "file-rules"],
            Jail.Options(IsolationLevel.Full, IsolationRequirement.Require(IsolationLevel.Full, IsolationControl.FileRules), null));
    }

    [Theory]
    [InlineData("required namespaces: No space left on device (28)", IsolationControl.Namespaces)]
    [InlineData("required uid-per-sandbox", IsolationControl.OwnUser)]
    [InlineData("required file-rules: not in this kernel: Function not implemented (38)", IsolationControl.FileRules)]
    [InlineData("create process and namespaces: Operation not permitted (1)", IsolationControl.Namespaces)]
    [InlineData("filesystem: mount tmpfs on /x: Operation not permitted (1)", IsolationControl.OwnRoot)]
    [InlineData("join cgroup /x: No such file or directory (2)", IsolationControl.MemoryLimit)]
    [InlineData("execute /usr/bin/qemu: No such file or directory (2)", null)]
    [InlineData(null, null)]
    public void Cause_OfALaunchersFailure_NamesTheControl(string? error, IsolationControl? expected)
    {
        SandboxIsolationException? cause = Jail.FindCause("sb-1", error);

        Assert.Equal(expected, cause?.Control);
        if (cause is not null)
        {
            Assert.Equal(SandboxErrorCode.Isolation, cause.Code);
            Assert.NotEmpty(cause.Remedy);
            Assert.Contains(cause.Remedy, cause.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Level_OfAReport_IsTheStrongestOfWhichEverythingIsInForce()
    {
        Assert.Equal(IsolationLevel.Full, Report().Level);
        Assert.Equal(IsolationLevel.Rootless, Report(IsolationControl.OwnUser, IsolationControl.NoGroups).Level);
        Assert.Equal(IsolationLevel.None, Report(IsolationControl.OwnUser, IsolationControl.FileRules).Level);
        Assert.Equal(IsolationLevel.None, Report(IsolationControl.Namespaces).Level);
        Assert.Equal(IsolationLevel.Full, Report(IsolationControl.FileRules, IsolationControl.MemoryLimit).Level);
    }

    [Fact]
    public void Lack_OfARequirement_IsTheControlThatIsMissing()
    {
        SandboxIsolation rootless = Report(IsolationControl.OwnUser);

        Assert.Null(rootless.FindLack(IsolationLevel.Rootless));
        Assert.Null(rootless.FindLack(IsolationRequirement.BestEffort));
        Assert.Equal(IsolationControl.OwnUser, rootless.FindLack(IsolationLevel.Full)!.Control);
        Assert.Null(Report(IsolationControl.FileRules).FindLack(IsolationLevel.Rootless)); // root's jail
        Assert.Equal(
            IsolationControl.MemoryLimit,
            Report(IsolationControl.MemoryLimit).FindLack(IsolationRequirement.Require(IsolationLevel.None, IsolationControl.MemoryLimit))!.Control);
    }

    [Fact]
    public void Record_OfARequirement_IsReadBackAsItWas()
    {
        foreach (IsolationRequirement requirement in (IsolationRequirement[])
            [IsolationRequirement.BestEffort, IsolationLevel.Full, IsolationRequirement.Require(IsolationLevel.None, IsolationControl.CpuLimit)])
        {
            IsolationRecord record = IsolationRecord.From(requirement)!;
            record.Validate("isolation");
            Assert.Equal(requirement, record.ToRequirement());
        }

        Assert.Null(IsolationRecord.From(null));
        Assert.Throws<InvalidDataException>(() => new IsolationRecord { Controls = ["Magic"] }.Validate("isolation"));
        Assert.Throws<InvalidDataException>(() => new IsolationRecord { Controls = ["1"] }.Validate("isolation"));
    }

    [Fact]
    public void Confinement_InARecord_IsReadBackAsItWas()
    {
        var confinement = new VmConfinement(
            IsolationLevel.Rootless, false, true, ["own-proc"], new Dictionary<IsolationControl, string> { [IsolationControl.MemoryLimit] = "/cg/opensandbox/vm-1-2-3" }, 5);
        var record = new Qemu.VmRecord(5, 1, 6, 2, Guid.NewGuid().ToString(), "0123456789abcdef", 7, "/run/x") { Confinement = confinement };

        string json = JsonSerializer.Serialize(record, VmmJsonContext.Default.VmRecord);
        Qemu.VmRecord read = JsonSerializer.Deserialize(json, VmmJsonContext.Default.VmRecord)!;

        Assert.Equal(record, read);
        Assert.Null(read.FindFault());
        Assert.NotNull((read with { Confinement = confinement with { Cgroups = new Dictionary<IsolationControl, string> { [IsolationControl.OwnRoot] = "/x" } } }).FindFault());
        Assert.NotNull((read with { Confinement = confinement with { Cgroups = new Dictionary<IsolationControl, string> { [IsolationControl.CpuLimit] = "x" } } }).FindFault());

        string old = json[..json.IndexOf(",\n  \"confinement\"", StringComparison.Ordinal)] + "}";
        Assert.Null(JsonSerializer.Deserialize(old, VmmJsonContext.Default.VmRecord)!.Confinement);
    }

    [Theory]
    [InlineData("/etc/opensandbox/vm-1-2-3")]
    [InlineData("/sys/fs/cgroup/memory/../../../etc/opensandbox/vm-1-2-3")]
    [InlineData("/tmp/vm-1-2-3")]
    public void Directory_ThatIsNoCgroupOfOurs_IsNotTouched(string directory) => Assert.False(HostCgroups.IsOurs(directory));

    private static SandboxIsolation Report(params IsolationControl[] missing) => new(
        [.. Enum.GetValues<IsolationControl>().Select(control => new IsolationControlState(control, !missing.Contains(control), ""))], "");
}
