namespace OpenSandbox.Vmm.Tests;

public sealed class SandboxResizeTests
{
    private static readonly SandboxHostOptions s_options = new() { MaxMemoryMib = 2_048 };

    public static TheoryData<SandboxResize, string> Wrong => new()
    {
        { new SandboxResize { MemoryMib = 128 }, "multiple of 128 from 256 to 2048" },
        { new SandboxResize { MemoryMib = 1_000 }, "1000 MiB" },
        { new SandboxResize { MemoryMib = 2_176 }, "MaxMemoryMib" },
        { new SandboxResize { CpuPercent = 0 }, "0 percent" },
        { new SandboxResize { CpuPercent = 10_001 }, "1 to 10,000" },
        { new SandboxResize { PidsMax = 7 }, "7 processes" },
    };

    [Theory]
    [MemberData(nameof(Wrong))]
    public void Validate_WrongValue_SaysWhatAndWhy(SandboxResize resize, string text) =>
        Assert.Contains(text, Assert.ThrowsAny<ArgumentException>(() => resize.Validate(s_options)).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData(null, 256, 2, 25)]
    [InlineData(null, 1_024, 2, 100)]
    [InlineData(null, 16_384, 2, 200)]
    [InlineData(null, 16_384, 16, 1_600)]
    [InlineData(50, 16_384, 2, 50)]
    [InlineData(400, 1_024, 2, 200)]
    public void EffectiveCpuPercent_AskedForOrNot_IsWhatTheVcpusCanGive(int? asked, int memory, int vcpus, int effective) =>
        Assert.Equal(effective, SandboxResizer.EffectiveCpuPercent(asked, memory, vcpus));

    [Fact]
    public void MemoryInUse_Message_SaysByHowMuch()
    {
        var failure = new SandboxMemoryInUseException("sb-1", 1_024, 2_100, 2_432, 1_276);

        Assert.Contains("1024 MiB", failure.Message, StringComparison.Ordinal);
        Assert.Contains("hold 2100 MiB, 1276 MiB more", failure.Message, StringComparison.Ordinal);
        Assert.Contains("ask for 2432 MiB", failure.Message, StringComparison.Ordinal);
        Assert.True(failure.IsTransient);
    }
}
