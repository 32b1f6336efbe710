using System.Diagnostics;

namespace OpenSandbox.Integration.Tests;

/// <summary>Wrong input and broken hosts: an error that says what and why, and nothing left behind.</summary>
[Collection(HostFixture.Collection)]
public sealed class BadDayTests(HostFixture fixture)
{
    [SkippableFact]
    public async Task Create_MissingImage_SaysHowToBuildIt()
    {
        SandboxImageException failure = await Assert.ThrowsAsync<SandboxImageException>(
            () => fixture.Host.CreateAsync(new SandboxSpec { Image = "absent" }));

        Assert.Contains("opensandbox image build absent", failure.Message, StringComparison.Ordinal);
        Assert.Empty(fixture.Host.List());
    }

    [SkippableFact]
    public async Task Create_MoreThanTheHostAllows_IsRefusedBeforeAnythingStarts()
    {
        _ = fixture.Host;
        await Assert.ThrowsAnyAsync<ArgumentException>(() => fixture.Host.CreateAsync(new SandboxSpec { MemoryMib = 1 << 20 }));
    }

    [SkippableFact]
    public async Task Start_NoQemu_SaysHowToInstallIt()
    {
        _ = fixture.Host;
        HostPrerequisiteException failure = await Assert.ThrowsAsync<HostPrerequisiteException>(
            () => SandboxHost.StartAsync(HostFixture.Options with { QemuPath = "/nonexistent/qemu" }));

        Assert.Contains("apt-get install qemu-system-x86", failure.Remedy, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Start_QemuThatIsNone_SaysWhatItSaid()
    {
        _ = fixture.Host;
        using var state = new StateDirectory();
        HostPrerequisiteException failure = await Assert.ThrowsAsync<HostPrerequisiteException>(
            () => SandboxHost.StartAsync(state.Options with { QemuPath = "/bin/true" }));

        Assert.Contains("no QEMU version", failure.Message, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Start_MissingAssets_SaysHowToBuildThem()
    {
        _ = fixture.Host;
        using var state = new StateDirectory();
        HostPrerequisiteException failure = await Assert.ThrowsAsync<HostPrerequisiteException>(
            () => SandboxHost.StartAsync(state.Options with { AssetsDirectory = state.Path }));

        Assert.Contains("build-assets.sh", failure.Remedy, StringComparison.Ordinal);
    }

    /// <summary>QEMU that dies at different steps: a script in its place that fails at once, and one that says something first.</summary>
    [SkippableTheory]
    [InlineData("echo 'the disk is on fire' >&2; exit 3", "exit code 3")]
    [InlineData("echo 'the disk is on fire' >&2; kill -ABRT $$; exit 4", "exit code 4")]
    [InlineData("echo 'the disk is on fire' >&2; exit 0", "guest shut down")]
    public async Task Start_QemuDies_TellsItsLastWords(string script, string reason)
    {
        _ = fixture.Host;
        using var state = new StateDirectory();
        string qemu = System.IO.Path.Combine(QemuScripts, $"opensandbox-test-{Guid.NewGuid():N}");
        await File.WriteAllTextAsync(qemu, $"#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'QEMU emulator version 7.2.99'; exit 0; fi\n{script}\n");
        File.SetUnixFileMode(qemu, (UnixFileMode)0x1ED);
        try
        {
            SandboxStartException failure = await Assert.ThrowsAsync<SandboxStartException>(
                () => SandboxHost.StartAsync(state.Options with { QemuPath = qemu, Accelerator = AcceleratorChoice.Tcg }));

            Assert.Contains(reason, failure.Message, StringComparison.Ordinal);
            Assert.Contains("the disk is on fire", failure.StandardErrorTail, StringComparison.Ordinal);
            Assert.Empty(Directory.EnumerateDirectories(System.IO.Path.Combine(state.Path, "golden")));
        }
        finally
        {
            File.Delete(qemu);
        }
    }

    /// <summary>The builder's QEMU is the real one; the one that should be restored dies, or never comes to life.</summary>
    [SkippableTheory]
    [InlineData("echo 'the disk is on fire' >&2; exit 7", "exit code 7")]
    [InlineData("echo 'the disk is on fire' >&2; kill -SEGV $$; exit 9", "exit code 9")]
    [InlineData("echo 'the disk is on fire' >&2; while :; do read -t 1 x <> /dev/null; done", "")]
    public async Task Create_QemuDiesOrHangs_TellsItsLastWordsAndLeavesNothing(string script, string reason)
    {
        _ = fixture.Host;
        using var state = new StateDirectory();
        string qemu = System.IO.Path.Combine(QemuScripts, $"opensandbox-test-{Guid.NewGuid():N}");
        await File.WriteAllTextAsync(
            qemu,
            $"#!/bin/bash\ncase \"$*\" in --version) echo 'QEMU emulator version 7.2.99'; exit 0;; *-kernel*) exec {HostFixture.Options.QemuPath} \"$@\";; esac\n{script}\n");
        File.SetUnixFileMode(qemu, (UnixFileMode)0x1ED);
        try
        {
            await using SandboxHost host = await SandboxHost.StartAsync(
                state.Options with { QemuPath = qemu, Accelerator = AcceleratorChoice.Tcg, StartTimeout = TimeSpan.FromSeconds(3) });
            Leaks before = Leaks.Now(host);

            SandboxException failure = await Assert.ThrowsAnyAsync<SandboxException>(() => host.CreateAsync(new SandboxSpec { Image = null }));

            if (reason.Length == 0)
            {
                Assert.Equal("loading the golden snapshot", Assert.IsType<SandboxTimeoutException>(failure).Phase);
            }
            else
            {
                Assert.Contains(reason, failure.Message, StringComparison.Ordinal);
                Assert.Contains("the disk is on fire", Assert.IsType<SandboxStartException>(failure).StandardErrorTail, StringComparison.Ordinal);
            }

            Assert.Empty(host.List());
            Leaks after = Leaks.Now(host);
            Assert.Equal(before with { Descriptors = after.Descriptors }, after);
            Assert.InRange(after.Descriptors, 0, before.Descriptors + 1);
        }
        finally
        {
            File.Delete(qemu);
        }
    }

    [SkippableFact]
    public async Task Create_HostWithoutMemory_IsRefusedBeforeAnythingStarts()
    {
        _ = fixture.Host;
        Skip.If(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes > 60L << 30, "the host has more memory than the test asks for");
        using var state = new StateDirectory();
        await using SandboxHost host = await SandboxHost.StartAsync(
            HostFixture.Options with { MaxMemoryMib = 65_536, StateDirectory = state.Path, Accelerator = AcceleratorChoice.Tcg, HostMemoryReserveMib = 1_048_576 });

        SandboxCapacityException full = await Assert.ThrowsAsync<SandboxCapacityException>(() => host.CreateAsync(new SandboxSpec { Image = null }));
        SandboxCapacityException large = await Assert.ThrowsAsync<SandboxCapacityException>(
            () => host.CreateAsync(new SandboxSpec { Image = null, MemoryMib = 65_536 }));

        Assert.Contains("kept free", full.Message, StringComparison.Ordinal);
        Assert.True(full.IsTransient);
        Assert.Contains("65536 MiB of memory and the host has", large.Message, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Start_GuestThatNeverBoots_IsTriedTwiceAndGivenUpAtTheDeadline()
    {
        const int triedAgain = 4072;
        _ = fixture.Host;
        using var state = new StateDirectory();
        using var log = new RecordingLoggerProvider();
        long started = TimeProvider.System.GetTimestamp();

        SandboxStartException failure = await Assert.ThrowsAsync<SandboxStartException>(() => SandboxHost.StartAsync(
            state.Options with { Accelerator = AcceleratorChoice.Tcg, GoldenBuildTimeout = TimeSpan.FromMilliseconds(600) },
            new Microsoft.Extensions.Logging.LoggerFactory([log])));

        Assert.Single(log.Entries, static entry => entry.EventId == triedAgain);
        Assert.Contains("not done within 0.3 s", failure.Message, StringComparison.Ordinal);
        Assert.True(TimeProvider.System.GetElapsedTime(started) < TimeSpan.FromSeconds(15));
        Assert.Empty(Directory.EnumerateDirectories(System.IO.Path.Combine(state.Path, "golden")));
    }

    /// <summary>This class of machine may have a /dev/kvm on which no guest boots: auto finds out by itself, once, and says why.</summary>
    [SkippableFact]
    public async Task Start_Auto_UsesKvmOnlyWhereAGuestBoots()
    {
        SandboxHost host = fixture.Host;
        Assert.Contains(host.Accelerator, (string[])["kvm", "tcg"]);
        Assert.NotEmpty(host.AcceleratorReason);
        int builds = fixture.Log.Entries.Count(static entry => entry.EventId == 4012);

        await using SandboxHost second = await SandboxHost.StartAsync(HostFixture.Options, new Microsoft.Extensions.Logging.LoggerFactory([fixture.Log]));

        Assert.Equal(host.Accelerator, second.Accelerator);
        Assert.Equal(host.Golden.Key, second.Golden.Key);
        Assert.Equal(builds, fixture.Log.Entries.Count(static entry => entry.EventId == 4012));
    }

    [SkippableFact]
    public async Task Start_DamagedGolden_NamesEverythingAndRebuilds()
    {
        _ = fixture.Host;
        using var state = new StateDirectory();
        SandboxHostOptions options = state.Options with { Accelerator = AcceleratorChoice.Tcg };
        string key;
        await using (SandboxHost first = await SandboxHost.StartAsync(options))
        {
            key = first.Golden.Key;
        }

        string directory = System.IO.Path.Combine(state.Path, "golden", key);
        using (FileStream ram = File.OpenWrite(System.IO.Path.Combine(directory, "ram")))
        {
            ram.SetLength(ram.Length / 2);
        }

        string manifest = System.IO.Path.Combine(directory, "manifest.json");
        await File.WriteAllTextAsync(manifest, (await File.ReadAllTextAsync(manifest))
            .Replace("\"vcpuCount\": 2", "\"vcpuCount\": 3", StringComparison.Ordinal)
            .Replace("\"accelerator\": \"tcg\"", "\"accelerator\": \"kvm\"", StringComparison.Ordinal));
        using var log = new RecordingLoggerProvider();

        await using SandboxHost again = await SandboxHost.StartAsync(options, new Microsoft.Extensions.Logging.LoggerFactory([log]));
        await using Sandbox sandbox = await again.CreateAsync(new SandboxSpec { Image = null });

        string rejected = Assert.Single(log.Entries, static entry => entry.EventId == 4004).Message;
        Assert.Contains("vCPU count is '3' instead of '2'", rejected, StringComparison.Ordinal);
        Assert.Contains("accelerator is 'kvm' instead of 'tcg'", rejected, StringComparison.Ordinal);
        Assert.Contains("the RAM cannot be loaded", rejected, StringComparison.Ordinal);
        Assert.Equal(key, again.Golden.Key);
        Assert.Equal(0, (await sandbox.ExecAsync(["/bin/true"])).ExitCode);
    }

    [SkippableFact]
    public async Task Start_FullStateDirectory_SaysSoAndLeavesNothingHalfWritten()
    {
        _ = fixture.Host;
        Skip.IfNot(Environment.IsPrivilegedProcess, "mounting a small tmpfs needs root");
        using var state = new StateDirectory();
        Run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", state.Path);
        try
        {
            HostPrerequisiteException failure = await Assert.ThrowsAsync<HostPrerequisiteException>(
                () => SandboxHost.StartAsync(state.Options with { Accelerator = AcceleratorChoice.Tcg }));

            Assert.Contains("No space left", failure.Message, StringComparison.OrdinalIgnoreCase);
            Assert.Contains(state.Path, failure.Message, StringComparison.Ordinal);
            Assert.Empty(Directory.EnumerateDirectories(System.IO.Path.Combine(state.Path, "golden")));
        }
        finally
        {
            Run("umount", state.Path);
        }
    }

    private const string QemuScripts = "/usr/local/bin";

    private static void Run(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { UseShellExecute = false })!;
        Assert.True(process.WaitForExit(TimeSpan.FromSeconds(20)));
        Assert.Equal(0, process.ExitCode);
    }

    private sealed class StateDirectory : IDisposable
    {
        public string Path { get; } = Directory.CreateTempSubdirectory("opensandbox-state-").FullName;

        public SandboxHostOptions Options => HostFixture.Options with { StateDirectory = Path };

        public void Dispose() => Directory.Delete(Path, recursive: true);
    }
}
