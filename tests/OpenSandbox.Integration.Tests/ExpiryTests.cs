using OpenSandbox.Vmm.State;

namespace OpenSandbox.Integration.Tests;

/// <summary>Sandboxes whose time is up. Each test has a state directory of its own, and where hours pass a clock.</summary>
[Collection(HostFixture.Collection)]
public sealed class ExpiryTests(HostFixture fixture)
{
    private static readonly SandboxSpec s_detached = new() { Lifetime = SandboxLifetime.Detached };

    [SkippableFact]
    public async Task Lifetime_IsOver_KillsItAndSaysSoAfterwards()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        await using var events = new ReadEvents(host);
        await using Sandbox sandbox = await host.CreateAsync(
            new SandboxSpec { Expiry = new SandboxExpiry { Lifetime = TimeSpan.FromSeconds(2) } }, Deadline());
        Task<ExecResult> running = sandbox.ExecAsync(["sleep", "1000"], cancellationToken: Deadline());

        SandboxExit exit = await sandbox.Stopped.WaitAsync(Deadline());

        // Used or not: a lifetime is fixed.
        Assert.Equal(SandboxExitReason.Expired, exit.Reason);
        Assert.Equal("its lifetime of 2 s is over", exit.Description);
        SandboxLostException cut = await Assert.ThrowsAsync<SandboxLostException>(() => running);
        SandboxLostException later = await Assert.ThrowsAsync<SandboxLostException>(() => sandbox.ExecAsync(["true"], cancellationToken: Deadline()));
        Assert.Equal(SandboxExitReason.Expired, cut.Exit.Reason);
        Assert.Contains("has expired: its lifetime of 2 s is over", later.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<SandboxLostException>(() => sandbox.RenewExpiryAsync(Deadline()));
        Assert.Equal(SandboxExitReason.Expired, (await events.UntilAsync(SandboxEventKind.Stopped)).Exit!.Reason);
        await events.UntilAsync(SandboxEventKind.Deleted);
        Assert.Empty(host.List());
    }

    [SkippableFact]
    public async Task Kill_OfDetachedAndOfHibernatedOnes_LeavesNothingOnDisk()
    {
        _ = fixture.HostWithImage;
        var clock = new ShiftableClock();
        await using var state = new OwnState();
        await using SandboxHost host = await SandboxHost.StartAsync(state.Options with { TimeProvider = clock }, cancellationToken: Deadline(240));
        await using var events = new ReadEvents(host);
        var hour = new SandboxExpiry { Lifetime = TimeSpan.FromHours(1) };
        Sandbox running = await host.CreateAsync(s_detached with { Expiry = hour }, Deadline());
        Sandbox asleep = await host.CreateAsync(s_detached with { Expiry = hour }, Deadline());
        Sandbox attached = await host.CreateAsync(new SandboxSpec { Expiry = hour }, Deadline());
        await asleep.HibernateAsync(Deadline());
        await attached.HibernateAsync(Deadline());
        Assert.NotNull(asleep.ExpiresAt);

        clock.Shift(TimeSpan.FromMinutes(59));
        Assert.Equal(3, host.List().Count);
        clock.Shift(TimeSpan.FromMinutes(1));

        foreach (Sandbox sandbox in (Sandbox[])[running, asleep, attached])
        {
            Assert.Equal(SandboxExitReason.Expired, (await sandbox.Stopped.WaitAsync(Deadline())).Reason);
            await events.UntilAsync(SandboxEventKind.Deleted);
        }

        Assert.Empty(Directory.GetDirectories(state.Sandboxes));
        Assert.Empty((await host.RecoverAsync(Deadline())).Problems);
        Assert.Empty(Directory.GetFileSystemEntries(state.Snapshots));
        Assert.Empty(Directory.GetFileSystemEntries(state.Layers));
    }

    [SkippableFact]
    public async Task Idle_WhileACommandRunsOrBytesMove_IsNotIdle()
    {
        _ = fixture.HostWithImage;
        var clock = new ShiftableClock();
        await using var state = new OwnState();
        await using SandboxHost host = await SandboxHost.StartAsync(state.Options with { TimeProvider = clock }, cancellationToken: Deadline(240));
        var expiry = new SandboxExpiry { IdleTimeout = TimeSpan.FromMinutes(10) };
        await using Sandbox sandbox = await host.CreateAsync(new SandboxSpec { Expiry = expiry }, Deadline());
        TimeSpan most = TimeSpan.FromMinutes(9);

        // A command that says nothing for hours.
        await sandbox.ExecAsync(["mkfifo", "/tmp/go"], cancellationToken: Deadline());
        Task<ExecResult> silent = sandbox.ExecAsync("cat /tmp/go", cancellationToken: Deadline());
        for (int i = 0; i < 10; i++)
        {
            clock.Shift(most);
        }

        Assert.Equal(SandboxState.Running, sandbox.State);
        await sandbox.ExecAsync("echo gone > /tmp/go", cancellationToken: Deadline());
        Assert.Equal("gone\n", (await silent).StandardOutput);

        // Bytes in and out of a process; the handle alone does not count.
        await using SandboxProcess echo = await sandbox.StartAsync(["cat"], new StartOptions { Input = ProcessInput.Open }, Deadline());
        byte[] buffer = new byte[10];
        for (int i = 0; i < 5; i++)
        {
            clock.Shift(most);
            Assert.True(await echo.WriteAsync("x"u8.ToArray(), Deadline()));
            Assert.Equal(1, (await echo.ReadAsync(buffer, Deadline())).Count);
        }

        // Looking at it does not count, either.
        clock.Shift(most);
        await sandbox.GetUsageAsync(Deadline());
        await sandbox.PingAsync(Deadline());
        clock.Shift(TimeSpan.FromMinutes(2));
        Assert.Equal("it was not used for 0:10:00", (await sandbox.Stopped.WaitAsync(Deadline())).Description);
    }

    [SkippableFact]
    public async Task Renew_AndSet_GiveItTimeAgain()
    {
        _ = fixture.HostWithImage;
        var clock = new ShiftableClock();
        await using var state = new OwnState();
        await using SandboxHost host = await SandboxHost.StartAsync(state.Options with { TimeProvider = clock }, cancellationToken: Deadline(240));
        var expiry = new SandboxExpiry { Lifetime = TimeSpan.FromHours(1) };
        await using Sandbox sandbox = await host.CreateAsync(new SandboxSpec { Expiry = expiry }, Deadline());
        Assert.InRange(sandbox.ExpiresAt!.Value - clock.GetUtcNow(), TimeSpan.FromMinutes(59), TimeSpan.FromMinutes(61));

        clock.Shift(TimeSpan.FromMinutes(59));
        await sandbox.RenewExpiryAsync(Deadline());
        clock.Shift(TimeSpan.FromMinutes(59));
        Assert.Equal(SandboxState.Running, sandbox.State);
        await sandbox.HibernateAsync(Deadline());
        await sandbox.SetExpiryAsync(expiry with { Lifetime = TimeSpan.FromHours(5) }, Deadline());
        clock.Shift(TimeSpan.FromHours(4));
        Assert.Equal(SandboxState.Hibernated, sandbox.State);
        await sandbox.SetExpiryAsync(SandboxExpiry.Never, Deadline());
        Assert.Null(sandbox.ExpiresAt);
        clock.Shift(TimeSpan.FromDays(400));
        Assert.Equal(SandboxState.Hibernated, sandbox.State);
        await Assert.ThrowsAsync<ArgumentException>(
            () => sandbox.SetExpiryAsync(new SandboxExpiry { Deadline = clock.GetUtcNow().AddSeconds(-1) }, Deadline()));
        await sandbox.DeleteAsync();
    }

    [SkippableFact]
    public async Task Deadline_ThatHibernates_CountsOnce()
    {
        _ = fixture.HostWithImage;
        var clock = new ShiftableClock();
        await using var state = new OwnState();
        await using SandboxHost host = await SandboxHost.StartAsync(state.Options with { TimeProvider = clock }, cancellationToken: Deadline(240));
        await using var events = new ReadEvents(host);
        var expiry = new SandboxExpiry { Deadline = clock.GetUtcNow().AddHours(1), Action = SandboxExpiryAction.Hibernate };
        Sandbox sandbox = await host.CreateAsync(new SandboxSpec { Expiry = expiry }, Deadline());
        await sandbox.PauseAsync(cancellationToken: Deadline());

        clock.Shift(TimeSpan.FromHours(1));
        await events.UntilAsync(SandboxEventKind.Hibernated);
        await sandbox.WakeAsync(cancellationToken: Deadline());
        clock.Shift(TimeSpan.FromDays(100));

        Assert.Equal(SandboxState.Running, sandbox.State);
        Assert.Null(sandbox.ExpiresAt);
        Assert.Equal(expiry, sandbox.Expiry);
        await sandbox.DeleteAsync();
    }

    [SkippableFact]
    public async Task Hibernate_Fails_IsToldAndTriedAgainAndNeverKills()
    {
        _ = fixture.HostWithImage;
        var clock = new ShiftableClock();
        await using var state = new OwnState();
        await using SandboxHost host = await SandboxHost.StartAsync(state.Options with { TimeProvider = clock }, cancellationToken: Deadline(240));
        await using var events = new ReadEvents(host);
        var expiry = new SandboxExpiry { IdleTimeout = TimeSpan.FromMinutes(10), Action = SandboxExpiryAction.Hibernate };
        await using Sandbox sandbox = await host.CreateAsync(new SandboxSpec { Expiry = expiry }, Deadline());

        using (Fault.ArmFlow(FaultPlan.Parse("hibernate.written:*=enospc")))
        {
            clock.Shift(TimeSpan.FromMinutes(10));
            SandboxEvent failed = await events.UntilAsync(SandboxEventKind.ExpiryFailed);
            Assert.Contains("full", Assert.Single(failed.Reasons), StringComparison.Ordinal);
            for (int attempt = 2; attempt <= Sandbox.MaxExpiryAttempts; attempt++)
            {
                await ExecTests.UntilAsync(() => Task.FromResult(host.Timers.Count > 0));
                clock.Shift(TimeSpan.FromMinutes(11));
                await events.UntilAsync(SandboxEventKind.ExpiryFailed);
            }

            // It has been given up until it is used, and it runs.
            clock.Shift(TimeSpan.FromHours(5));
            Assert.Equal(SandboxState.Running, sandbox.State);
        }

        Assert.Equal(0, (await sandbox.ExecAsync(["true"], cancellationToken: Deadline())).ExitCode);
        await ExecTests.UntilAsync(() => Task.FromResult(host.Timers.Count > 0));
        clock.Shift(TimeSpan.FromMinutes(11));
        await events.UntilAsync(SandboxEventKind.Hibernated);
        await sandbox.DeleteAsync();
    }

    [SkippableFact]
    public async Task Detached_NextHost_GoesOnWithItsTime()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        var expiry = new SandboxExpiry { IdleTimeout = TimeSpan.FromHours(1), Lifetime = TimeSpan.FromHours(10), AutoWake = true };
        string running;
        string asleep;
        await using (SandboxHost first = await state.StartHostAsync())
        {
            running = (await first.CreateAsync(s_detached with { Expiry = expiry }, Deadline())).Id;
            Sandbox sleeper = await first.CreateAsync(s_detached, Deadline());
            await sleeper.SetExpiryAsync(expiry with { Lifetime = TimeSpan.FromHours(1) }, Deadline());
            await sleeper.HibernateAsync(Deadline());
            asleep = sleeper.Id;
        }

        // The next host comes 100 days later, or with a clock that has been set wrong: nothing is killed at once.
        var clock = new ShiftableClock { WallClockError = TimeSpan.FromDays(100) };
        await using SandboxHost second = await SandboxHost.StartAsync(state.Options with { TimeProvider = clock }, cancellationToken: Deadline(240));
        RecoveryReport report = await second.RecoverAsync(Deadline());

        Assert.Empty(report.Problems);
        Sandbox adopted = Assert.Single(report.Adopted);
        Sandbox hibernated = Assert.Single(report.Hibernated);
        Assert.Equal((running, asleep), (adopted.Id, hibernated.Id));
        Assert.Equal(expiry, adopted.Expiry);
        Assert.InRange(adopted.ExpiresAt!.Value - clock.GetUtcNow(), TimeSpan.FromSeconds(1), TimeSpan.FromMinutes(2));
        Assert.InRange(hibernated.ExpiresAt!.Value - clock.GetUtcNow(), TimeSpan.FromSeconds(1), TimeSpan.FromMinutes(2));

        // One is renewed meanwhile, the other one is not.
        await hibernated.RenewExpiryAsync(Deadline());
        clock.Shift(TimeSpan.FromMinutes(2));

        Assert.Equal(SandboxExitReason.Expired, (await adopted.Stopped.WaitAsync(Deadline())).Reason);
        Assert.Equal(SandboxState.Hibernated, hibernated.State);
        Assert.Equal(0, (await hibernated.ExecAsync(["true"], cancellationToken: Deadline())).ExitCode);
        await hibernated.DeleteAsync();
    }

    [SkippableFact]
    public async Task Detached_InUse_IsWrittenDownRarelyAndFoundByTheNextHost()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        string id;
        var clock = new ShiftableClock();
        await using (SandboxHost first = await SandboxHost.StartAsync(state.Options with { TimeProvider = clock }, cancellationToken: Deadline(240)))
        {
            var expiry = new SandboxExpiry { IdleTimeout = TimeSpan.FromHours(8) };
            Sandbox sandbox = await first.CreateAsync(s_detached with { Expiry = expiry }, Deadline());
            id = sandbox.Id;
            long before = StateStore.Open(state.Options.StateDirectory).LoadSandbox(id).Generation;
            for (int i = 0; i < 20; i++)
            {
                await sandbox.ExecAsync(["true"], cancellationToken: Deadline());
            }

            Assert.Equal(before, StateStore.Open(state.Options.StateDirectory).LoadSandbox(id).Generation);
            clock.Shift(TimeSpan.FromHours(7));
            await sandbox.ExecAsync(["true"], cancellationToken: Deadline());
            clock.Shift(TimeSpan.FromMinutes(16));
            await ExecTests.UntilAsync(() => Task.FromResult(
                StateStore.Open(state.Options.StateDirectory).LoadSandbox(id).Expiry!.LastActivityUtc > DateTimeOffset.UtcNow.AddHours(6)));
            Assert.InRange(StateStore.Open(state.Options.StateDirectory).LoadSandbox(id).Generation, before + 1, before + 2);
        }

        await using SandboxHost second = await SandboxHost.StartAsync(state.Options with { TimeProvider = clock }, cancellationToken: Deadline(240));
        Sandbox adopted = await second.OpenAsync(id, Deadline());
        Assert.InRange(adopted.ExpiresAt!.Value - clock.GetUtcNow(), TimeSpan.FromHours(7.5), TimeSpan.FromHours(8));
        await adopted.DeleteAsync();
    }

    [SkippableTheory]
    [InlineData("expiry.setting=eio")]
    [InlineData("sandbox.commit=enospc")]
    [InlineData("sync.directory=eio")]
    public async Task Set_DiskFails_WhatWasThereBeforeIsInForce(string fault)
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        var before = new SandboxExpiry { IdleTimeout = TimeSpan.FromHours(1), AutoWake = true };
        Sandbox sandbox = await host.CreateAsync(s_detached with { Expiry = before }, Deadline());

        using (Fault.ArmFlow(FaultPlan.Parse(fault)))
        {
            await Assert.ThrowsAsync<SandboxOperationException>(() => sandbox.SetExpiryAsync(SandboxExpiry.Never, Deadline()));
        }

        Assert.Equal(before, sandbox.Expiry);
        Assert.Equal(before, ExpiryRecord.ToExpiry(StateStore.Open(state.Options.StateDirectory).LoadSandbox(sandbox.Id).Expiry));
        await sandbox.SetExpiryAsync(SandboxExpiry.Never, Deadline());
        Assert.Null(StateStore.Open(state.Options.StateDirectory).LoadSandbox(sandbox.Id).Expiry);
        await sandbox.DeleteAsync();
    }

    [SkippableFact]
    public async Task Forks_InheritIt_AndTheirTimeBeginsAnew()
    {
        _ = fixture.HostWithImage;
        var clock = new ShiftableClock();
        await using var state = new OwnState();
        await using SandboxHost host = await SandboxHost.StartAsync(state.Options with { TimeProvider = clock }, cancellationToken: Deadline(240));
        var expiry = new SandboxExpiry { Lifetime = TimeSpan.FromHours(1) };
        await using Sandbox parent = await host.CreateAsync(cancellationToken: Deadline());
        await parent.SetExpiryAsync(expiry, Deadline());
        SandboxCheckpoint checkpoint = await parent.CheckpointAsync(cancellationToken: Deadline());
        clock.Shift(TimeSpan.FromMinutes(50));

        await using Sandbox live = Assert.Single(await parent.ForkAsync(cancellationToken: Deadline()));
        await using Sandbox saved = Assert.Single(await host.ForkAsync(checkpoint.Id, cancellationToken: Deadline()));
        await using Sandbox other = Assert.Single(
            await host.ForkAsync(checkpoint.Id, 1, new ForkOptions { Expiry = SandboxExpiry.Never }, Deadline()));
        clock.Shift(TimeSpan.FromMinutes(11));

        await parent.Stopped.WaitAsync(Deadline());
        Assert.Equal([expiry, expiry, SandboxExpiry.Never], ((Sandbox[])[live, saved, other]).Select(static fork => fork.Expiry));
        Assert.Equal(3, host.List().Count);
        await host.DeleteCheckpointAsync(checkpoint.Id, Deadline());
    }

    private static CancellationToken Deadline(int seconds = 60) => ExecTests.Deadline(seconds);
}
