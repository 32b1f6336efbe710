namespace OpenSandbox.Vmm.Tests.Pools;

public sealed class SandboxPoolOptionsTests
{
    public static TheoryData<SandboxPoolOptions[], string> Wrong => new()
    {
        { [new SandboxPoolOptions { HotTarget = -1 }], "HotTarget" },
        { [new SandboxPoolOptions { HotTarget = 257 }], "HotTarget" },
        { [new SandboxPoolOptions { ParkedTarget = -1 }], "ParkedTarget" },
        { [new SandboxPoolOptions { ParkedTarget = 257 }], "ParkedTarget" },
        { [new SandboxPoolOptions { HotTarget = 1, HotMinimum = 2 }], "HotMinimum" },
        { [new SandboxPoolOptions { ParkedTarget = 1, ParkedMinimum = 2 }], "ParkedMinimum" },
        { [new SandboxPoolOptions { MaxAge = TimeSpan.FromMilliseconds(999) }], "MaxAge" },
        { [new SandboxPoolOptions { MaxAge = TimeSpan.FromDays(2) }], "MaxAge" },
        { [new SandboxPoolOptions { ClaimTimeout = TimeSpan.Zero }], "ClaimTimeout" },
        { [new SandboxPoolOptions { ClaimTimeout = TimeSpan.FromMinutes(2) }], "ClaimTimeout" },
        { [new SandboxPoolOptions { MemoryMarginMib = -1 }], "MemoryMarginMib" },
        { [new SandboxPoolOptions { Image = " " }], "Image" },
        { [new SandboxPoolOptions(), new SandboxPoolOptions { HotTarget = 3 }], "two pools" },
        { [new SandboxPoolOptions { Image = null, Workspace = true }, new SandboxPoolOptions { Image = null, Workspace = false }], "two pools" },
        { [.. Enumerable.Range(0, 17).Select(static i => new SandboxPoolOptions { Image = $"i{i}" })], "Pools" },
    };

    [Theory]
    [MemberData(nameof(Wrong))]
    public void Options_OutOfRange_SayWhich(SandboxPoolOptions[] pools, string says)
    {
        var options = new SandboxHostOptions { Pools = pools };

        ArgumentException failure = Assert.ThrowsAny<ArgumentException>(options.Validate);

        Assert.Contains(says, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Options_Default_KeepNothing()
    {
        var options = new SandboxHostOptions { Pools = [new SandboxPoolOptions()] };

        options.Validate();

        Assert.Empty(new SandboxHostOptions().Pools);
        Assert.Equal(0, options.Pools[0].HotTarget + options.Pools[0].ParkedTarget);
    }

    [Fact]
    public void Options_TheSameImageWithAndWithoutWorkspace_AreTwoPools() =>
        new SandboxHostOptions { Pools = [new SandboxPoolOptions(), new SandboxPoolOptions { Workspace = false }] }.Validate();
}
