namespace OpenSandbox.Vmm.Tests;

public sealed class SandboxSpecTests
{
    private static readonly SandboxHostOptions s_options = new() { MaxMemoryMib = 2_048 };

    public static TheoryData<SandboxSpec, string> Wrong => new()
    {
        { new SandboxSpec { MemoryMib = 128 }, "multiple of 128 from 256 to 2048" },
        { new SandboxSpec { MemoryMib = 300 }, "300 MiB" },
        { new SandboxSpec { MemoryMib = 2_176 }, "MaxMemoryMib" },
        { new SandboxSpec { PidsMax = 7 }, "7 processes" },
        { new SandboxSpec { CpuMaxPercent = 0 }, "0 percent" },
        { new SandboxSpec { CpuMaxPercent = 201 }, "1 to 200" },
        { new SandboxSpec { Hostname = "" }, "host name" },
        { new SandboxSpec { Hostname = "-a" }, "host name" },
        { new SandboxSpec { Hostname = "a b" }, "host name" },
        { new SandboxSpec { Hostname = new string('a', 64) }, "host name" },
        { new SandboxSpec { EnvironmentVariables = new Dictionary<string, string> { ["A=B"] = "" } }, "'A=B'" },
        { new SandboxSpec { EnvironmentVariables = new Dictionary<string, string> { [""] = "" } }, "must not be empty" },
        { new SandboxSpec { EnvironmentVariables = new Dictionary<string, string> { ["A"] = "\0" } }, "NUL" },
        { new SandboxSpec { MaxGuestScaleMib = 128 }, "scaling from inside" },
        { new SandboxSpec { MaxGuestScaleMib = 2_176 }, "MaxMemoryMib" },
        { new SandboxSpec { Metadata = new Dictionary<string, string> { [""] = "" } }, "1 to 128 bytes" },
        { new SandboxSpec { Metadata = new Dictionary<string, string> { ["a"] = new string('x', 1_025) } }, "up to 1024" },
        { new SandboxSpec { Metadata = Enumerable.Range(0, 65).ToDictionary(static i => $"{i}", static _ => "") }, "64 entries" },
        { new SandboxSpec { Metadata = Enumerable.Range(0, 17).ToDictionary(static i => $"{i}", static _ => new string('x', 1_000)) }, "16384 bytes" },
    };

    [Theory]
    [MemberData(nameof(Wrong))]
    public void Validate_WrongValue_SaysWhatAndWhy(SandboxSpec spec, string text)
    {
        ArgumentException failure = Assert.ThrowsAny<ArgumentException>(() => spec.Validate(s_options));

        Assert.Contains(text, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Validate_Defaults_AreAccepted() => new SandboxSpec().Validate(s_options);

    public static TheoryData<SandboxHostOptions> WrongOptions => new()
    {
        new SandboxHostOptions { VcpuCount = 0 },
        new SandboxHostOptions { BaseMemoryMib = 300 },
        new SandboxHostOptions { BaseMemoryMib = 128 },
        new SandboxHostOptions { MaxMemoryMib = 256 },
        new SandboxHostOptions { MaxSandboxes = 0 },
        new SandboxHostOptions { FirstUid = 0 },
        new SandboxHostOptions { StateDirectory = " " },
        new SandboxHostOptions { StartTimeout = TimeSpan.Zero },
    };

    [Theory]
    [MemberData(nameof(WrongOptions))]
    public void HostOptions_WrongValue_IsRefused(SandboxHostOptions options) =>
        Assert.ThrowsAny<ArgumentException>(options.Validate);
}
