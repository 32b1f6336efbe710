using System.Diagnostics;

namespace OpenSandbox.Integration.Tests.Faults;

/// <summary>R5: a VM that is there and does not answer.</summary>
[Collection(HostFixture.Collection)]
[Trait("Category", "Faults")]
public sealed class HangTests(HostFixture fixture)
{
    private const int SIGSTOP = 19;
    private static readonly TimeSpan s_interval = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(3);

    [SkippableTheory]
    [InlineData(SandboxLifetime.Attached)]
    [InlineData(SandboxLifetime.Detached)]
    public async Task Machine_ThatHangs_IsGivenUpInTimeAndCanBeBootedAgain(SandboxLifetime lifetime)
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await SandboxHost.StartAsync(
            state.Options with { HeartbeatInterval = s_interval, UnresponsiveTimeout = s_patience }, cancellationToken: Deadline(240));
        await using Sandbox other = await host.CreateAsync(cancellationToken: Deadline());
        Sandbox sandbox = await host.CreateAsync(new SandboxSpec { Lifetime = lifetime }, Deadline());
        await sandbox.ExecAsync("echo synced > /workspace/file; sync", cancellationToken: Deadline());
        Assert.True(sandbox.IsResponding);
        Task<ExecResult> call = sandbox.ExecAsync(["sleep", "1000"], cancellationToken: Deadline());

        Assert.Equal(0, LifecycleTests.Kill(await sandbox.Machine.GetQemuPidAsync(Deadline()), SIGSTOP));

        long stopped = Stopwatch.GetTimestamp();
        SandboxException lost = await Assert.ThrowsAnyAsync<SandboxException>(() => call);
        TimeSpan took = Stopwatch.GetElapsedTime(stopped);
        Assert.InRange(took, s_patience - s_interval - s_interval, s_patience + s_patience + state.Options.KillTimeout);
        Assert.Equal("42\n", (await other.ExecAsync("echo 42", cancellationToken: Deadline())).StandardOutput);
        if (lifetime == SandboxLifetime.Detached)
        {
            await ExecTests.UntilAsync(() => Task.FromResult(sandbox.State == SandboxState.Crashed));
            SandboxWake woken = await sandbox.WakeAsync(cancellationToken: Deadline());
            Assert.Contains("has not answered", Assert.Single(woken.Reasons), StringComparison.Ordinal);
            Assert.Equal("synced\n", (await sandbox.ExecAsync("cat /workspace/file", cancellationToken: Deadline())).StandardOutput);
            Assert.True(sandbox.IsResponding);
        }
        else
        {
            SandboxExit exit = await sandbox.Stopped.WaitAsync(Deadline());
            Assert.Equal(SandboxExitReason.GuestMisbehaved, exit.Reason);
            Assert.Contains("has not answered", exit.Description, StringComparison.Ordinal);
            Assert.Contains("has not answered", Assert.IsType<SandboxLostException>(lost).Message, StringComparison.Ordinal);
        }

        await sandbox.DeleteAsync(Deadline());
    }

    /// <summary>A machine that somebody has stopped, or that stands still to be saved, is no reason to give it up.</summary>
    [SkippableFact]
    public async Task Machine_ThatIsPaused_IsNotGivenUp()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await SandboxHost.StartAsync(
            state.Options with { HeartbeatInterval = s_interval, UnresponsiveTimeout = s_interval }, cancellationToken: Deadline(240));
        await using Sandbox sandbox = await host.CreateAsync(cancellationToken: Deadline());
        OpenSandbox.Qmp.QmpClient qmp = await sandbox.Machine.GetQmpAsync();

        // By somebody whom the library does not know of; as QEMU itself does when the host's disk is full.
        await qmp.StopAsync(Deadline());
        await ExecTests.UntilAsync(() => Task.FromResult(!sandbox.IsResponding));
        await ExecTests.UntilAsync(() => Task.FromResult(sandbox.IsResponding)); // it has asked QEMU
        await qmp.ContinueAsync(Deadline());

        Assert.Equal("42\n", (await sandbox.ExecAsync("echo 42", cancellationToken: Deadline())).StandardOutput);
        await sandbox.PauseAsync(cancellationToken: Deadline());
        await sandbox.ResumeAsync(Deadline());
        Assert.Equal("42\n", (await sandbox.ExecAsync("echo 42", cancellationToken: Deadline())).StandardOutput);
    }

    private static CancellationToken Deadline(int seconds = 60) => ExecTests.Deadline(seconds);
}
