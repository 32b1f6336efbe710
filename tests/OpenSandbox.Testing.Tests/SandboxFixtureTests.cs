using OpenSandbox.Vmm;

namespace OpenSandbox.Testing.Tests;

/// <summary>The fixture that other people's tests use, on good days and bad ones.</summary>
public sealed class SandboxFixtureTests : IDisposable
{
    private static readonly TimeSpan s_deadline = TimeSpan.FromMinutes(4);
    private readonly string _directory = Directory.CreateTempSubdirectory("opensandbox-test-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task Prerequisite_Missing_SkipsEveryTestWithTheReason()
    {
        var fixture = new OtherFixture(new SandboxFixtureOptions { Host = Broken(), Required = false });
        await fixture.InitializeAsync().WaitAsync(s_deadline);
        Assert.Contains("/nowhere/qemu", fixture.SkipReason, StringComparison.Ordinal);
        for (int test = 0; test < 2; test++)
        {
            SkipException skipped = await Assert.ThrowsAsync<SkipException>(() => fixture.CreateAsync());
            Assert.Equal(fixture.SkipReason, skipped.Message);
        }

        await fixture.DisposeAsync().WaitAsync(s_deadline);
    }

    [Fact]
    public async Task Prerequisite_MissingWhereItMustNot_FailsEveryTestWithTheReason()
    {
        var fixture = new OtherFixture(new SandboxFixtureOptions { Host = Broken(), Required = true });
        await fixture.InitializeAsync().WaitAsync(s_deadline);
        SandboxFixtureException failure = await Assert.ThrowsAsync<SandboxFixtureException>(() => fixture.CreateAsync());
        Assert.Contains("/nowhere/qemu", failure.Message, StringComparison.Ordinal);
        await fixture.DisposeAsync().WaitAsync(s_deadline);
    }

    [SkippableFact]
    public async Task Start_Fails_EveryTestIsToldTheCause()
    {
        SandboxHostOptions good = Require();

        // Everything is there, but the guest does not boot: its initramfs has no agent.
        foreach (string file in Directory.EnumerateFiles(good.AssetsDirectory))
        {
            File.Copy(file, Path.Combine(_directory, Path.GetFileName(file)));
        }

        await File.WriteAllBytesAsync(Path.Combine(_directory, "initramfs.cpio"), new byte[4_096]);
        var host = new SandboxHostOptions
        {
            AssetsDirectory = _directory,
            StateDirectory = Path.Combine(_directory, "state"),
            Accelerator = AcceleratorChoice.Tcg,
            GoldenBuildTimeout = TimeSpan.FromSeconds(20),
        };
        var fixture = new OtherFixture(new SandboxFixtureOptions { Host = host });
        await fixture.InitializeAsync().WaitAsync(s_deadline);
        Assert.Null(fixture.SkipReason);
        for (int test = 0; test < 2; test++)
        {
            SandboxFixtureException failure = await Assert.ThrowsAsync<SandboxFixtureException>(() => fixture.CreateAsync());
            Assert.IsAssignableFrom<SandboxException>(failure.InnerException);
            Assert.Contains(failure.InnerException!.Message, failure.Message, StringComparison.Ordinal);
        }

        await fixture.DisposeAsync().WaitAsync(s_deadline);
    }

    [SkippableFact]
    public async Task Start_TakesTooLong_SaysSo()
    {
        Require();
        var fixture = new OtherFixture(new SandboxFixtureOptions { StartTimeout = TimeSpan.FromMilliseconds(1) });
        await fixture.InitializeAsync().WaitAsync(s_deadline);
        SandboxFixtureException failure = Assert.Throws<SandboxFixtureException>(() => fixture.Host);
        Assert.Contains("StartTimeout", failure.Message, StringComparison.Ordinal);
        await fixture.DisposeAsync().WaitAsync(s_deadline);
    }

    [SkippableFact]
    public async Task Sandboxes_OfTwoTests_AreTheirOwnAndLeaveNothing()
    {
        Require();
        var fixture = new SandboxFixture();
        await fixture.InitializeAsync().WaitAsync(s_deadline);
        Sandbox first = await fixture.CreateAsync().WaitAsync(s_deadline);
        Sandbox second = await fixture.CreateAsync().WaitAsync(s_deadline);
        await first.Files.WriteTextAsync("/tmp/mine", "1");
        Assert.False(await second.Files.ExistsAsync("/tmp/mine"));
        await first.DisposeAsync();
        await second.DisposeAsync();
        await fixture.DisposeAsync().WaitAsync(s_deadline);
        Assert.Contains("disposed", Assert.Throws<InvalidOperationException>(() => fixture.Host).Message, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Sandbox_NotDisposedOf_IsEndedAndNamedWithItsTest()
    {
        Require();
        var fixture = new SandboxFixture();
        await fixture.InitializeAsync().WaitAsync(s_deadline);
        Sandbox forgotten = await fixture.CreateAsync().WaitAsync(s_deadline);
        await using (await fixture.CreateAsync().WaitAsync(s_deadline))
        {
            // This one is not forgotten.
        }

        SandboxLeakException leak = await Assert.ThrowsAsync<SandboxLeakException>(() => fixture.DisposeAsync().WaitAsync(s_deadline));
        Assert.Equal(
            [$"{forgotten.Id}, made in {nameof(Sandbox_NotDisposedOf_IsEndedAndNamedWithItsTest)} (SandboxFixtureTests.cs)"], leak.Sandboxes);
        Assert.Contains(forgotten.Id, leak.Message, StringComparison.Ordinal);
        Assert.Equal(SandboxState.Stopped, forgotten.State);
    }

    [SkippableFact]
    public async Task Test_Fails_ItsSandboxesEndAllTheSame()
    {
        Require();
        var fixture = new SandboxFixture();
        await fixture.InitializeAsync().WaitAsync(s_deadline);
        var test = new FailingTest(fixture);
        await Assert.ThrowsAsync<InvalidOperationException>(test.RunAsync);
        Assert.All(test.Made, static sandbox => Assert.Equal(SandboxState.Running, sandbox.State));

        // As xunit does after a test, whatever became of it.
        await test.DisposeAsync().WaitAsync(s_deadline);
        Assert.Equal(2, test.Made.Count);
        Assert.All(test.Made, static sandbox => Assert.Equal(SandboxState.Stopped, sandbox.State));
        await fixture.DisposeAsync().WaitAsync(s_deadline);
    }

    [SkippableFact]
    public async Task Image_NotBuilt_SkipsTheTestThatWantsIt()
    {
        Require();
        var fixture = new OtherFixture(new SandboxFixtureOptions { Required = false });
        await fixture.InitializeAsync().WaitAsync(s_deadline);
        SkipException skipped = await Assert.ThrowsAsync<SkipException>(() => fixture.CreateAsync(new SandboxSpec { Image = "no-such-image" }));
        Assert.Contains("no-such-image", skipped.Message, StringComparison.Ordinal);
        await fixture.DisposeAsync().WaitAsync(s_deadline);
    }

    [Fact]
    public void Host_BeforeInitialization_SaysWhoDoesThat() =>
        Assert.Contains("xunit does that", Assert.Throws<InvalidOperationException>(() => new SandboxFixture().Host).Message, StringComparison.Ordinal);

    private static SandboxHostOptions Require()
    {
        var options = new SandboxHostOptions();
        Skip.IfNot(File.Exists(options.QemuPath), "QEMU is not installed (apt-get install qemu-system-x86)");
        Skip.IfNot(File.Exists(Path.Combine(options.AssetsDirectory, "launcher")), $"no guest assets in {options.AssetsDirectory} (scripts/build-assets.sh)");
        Skip.If(SandboxImages.Open(options).List().Count < 2, "the default image is not built (opensandbox image build)");
        return options;
    }

    private SandboxHostOptions Broken() => new() { QemuPath = "/nowhere/qemu", StateDirectory = Path.Combine(_directory, "state") };

    private sealed class OtherFixture(SandboxFixtureOptions options) : SandboxFixture(options);

    private sealed class FailingTest(SandboxFixture fixture) : SandboxTest(fixture)
    {
        internal List<Sandbox> Made { get; } = [];

        internal async Task RunAsync()
        {
            Made.Add(await CreateSandboxAsync());
            Made.Add(await CreateSandboxAsync());
            throw new InvalidOperationException("the test fails");
        }
    }
}
