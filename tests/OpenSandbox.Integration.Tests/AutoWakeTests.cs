namespace OpenSandbox.Integration.Tests;

/// <summary>Sandboxes that wake when they are used. Each test has a state directory of its own.</summary>
[Collection(HostFixture.Collection)]
public sealed class AutoWakeTests(HostFixture fixture)
{
    private static readonly SandboxSpec s_sleeper = new()
    {
        Expiry = new SandboxExpiry { IdleTimeout = TimeSpan.FromMinutes(5), Action = SandboxExpiryAction.Hibernate, AutoWake = true },
    };

    [SkippableFact]
    public async Task Idle_Hibernates_AndTheNextCommandWakesItWithEverything()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        await using var events = new ReadEvents(host);
        SandboxSpec spec = s_sleeper with { Expiry = s_sleeper.Expiry with { IdleTimeout = TimeSpan.FromSeconds(1) } };
        await using Sandbox sandbox = await host.CreateAsync(spec, Deadline());
        await sandbox.ExecAsync("echo kept > /tmp/file; (while :; do sleep 0.05; done) </dev/null >/dev/null 2>&1 & echo $! > /tmp/pid", cancellationToken: Deadline());

        SandboxEvent expired = await events.UntilAsync(SandboxEventKind.Expired);
        await events.UntilAsync(SandboxEventKind.Hibernated);

        Assert.Equal(SandboxExpiryAction.Hibernate, expired.Action);
        Assert.Equal("it was not used for 1 s", Assert.Single(expired.Reasons));
        Assert.Equal(SandboxState.Hibernated, sandbox.State);
        Assert.Null(sandbox.ExpiresAt);

        ExecResult result = await sandbox.ExecAsync("cat /tmp/file; kill -0 $(cat /tmp/pid) && echo alive", cancellationToken: Deadline());

        Assert.Equal("kept\nalive\n", result.StandardOutput);
        SandboxEvent woken = await events.UntilAsync(SandboxEventKind.Woken);
        Assert.True(woken.ByUse);
        Assert.True(woken.MemoryRestored);

        // And again: it is no less idle after a wake.
        await events.UntilAsync(SandboxEventKind.Hibernated);
        Assert.Equal("kept\n", await sandbox.Files.ReadAllTextAsync("/tmp/file", Deadline()));
    }

    [SkippableFact]
    public async Task Use_TwentyAtOnce_ShareOneWake()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        await using var events = new ReadEvents(host);
        await using Sandbox sandbox = await host.CreateAsync(s_sleeper, Deadline());
        await sandbox.HibernateAsync(Deadline());

        ExecResult[] results = await Task.WhenAll(
            Enumerable.Range(0, 20).Select(i => Task.Run(() => sandbox.ExecAsync($"echo {i}", cancellationToken: Deadline()))));

        Assert.Equal(Enumerable.Range(0, 20).Select(static i => $"{i}\n"), results.Select(static result => result.StandardOutput));
        Assert.Single(await events.DrainAsync(), static seen => seen.Kind == SandboxEventKind.Woken);
    }

    [SkippableFact]
    public async Task Use_OfEveryKind_WakesIt()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        await using Sandbox sandbox = await host.CreateAsync(s_sleeper, Deadline());
        await sandbox.StartAsync("exec python3 -m http.server 8000 >/dev/null 2>&1", new StartOptions { Detached = true }, Deadline());
        await ExecTests.UntilAsync(async () => (await sandbox.ExecAsync("exec 3<>/dev/tcp/127.0.0.1/8000", cancellationToken: Deadline())).ExitCode == 0
            || (await sandbox.ExecAsync(["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8000"], cancellationToken: Deadline())).ExitCode == 0);

        Func<Task>[] uses =
        [
            () => sandbox.Files.WriteTextAsync("/tmp/a", "1", cancellationToken: Deadline()),
            async () => Assert.Equal("1", await sandbox.Files.ReadAllTextAsync("/tmp/a", Deadline())),
            async () => Assert.NotEmpty(await sandbox.Files.ListAsync("/tmp", cancellationToken: Deadline()).ToListAsync()),
            () => sandbox.Files.StatAsync("/tmp/a", Deadline()),
            () => sandbox.Processes.ListAsync(Deadline()),
            async () => await (await sandbox.StartAsync(["true"], cancellationToken: Deadline())).DisposeAsync(),
            async () => await (await sandbox.OpenShellAsync(cancellationToken: Deadline())).DisposeAsync(),
            async () => await (await sandbox.ConnectAsync(8000, Deadline())).DisposeAsync(),
            async () => await (await sandbox.Files.WatchAsync("/tmp", cancellationToken: Deadline())).DisposeAsync(),
        ];
        foreach (Func<Task> use in uses)
        {
            await sandbox.HibernateAsync(Deadline());
            await use();
            Assert.Equal(SandboxState.Running, sandbox.State);
        }

        // Looking at it is no use of it.
        await sandbox.HibernateAsync(Deadline());
        await Assert.ThrowsAsync<SandboxStateException>(() => sandbox.GetUsageAsync(Deadline()));
        await Assert.ThrowsAsync<SandboxStateException>(() => sandbox.PingAsync(Deadline()).AsTask());
        Assert.Equal(SandboxState.Hibernated, sandbox.State);
    }

    [SkippableFact]
    public async Task Use_WhileItIsBeingHibernated_WaitsAndWakesIt()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        await using Sandbox sandbox = await host.CreateAsync(s_sleeper, Deadline());

        Task<SandboxHibernation> hibernating = sandbox.HibernateAsync(Deadline());
        Assert.Equal(SandboxState.Hibernating, sandbox.State);
        ExecResult[] results = await Task.WhenAll(
            Enumerable.Range(0, 5).Select(_ => sandbox.ExecAsync(["echo", "there"], cancellationToken: Deadline())));

        Assert.All(results, static result => Assert.Equal("there\n", result.StandardOutput));
        Assert.True((await hibernating).MemoryPages > 0);
    }

    [SkippableFact]
    public async Task Use_WithoutAutoWake_SaysThatItIsHibernated()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        await using Sandbox sandbox = await host.CreateAsync(cancellationToken: Deadline());
        await sandbox.HibernateAsync(Deadline());

        SandboxStateException refused = await Assert.ThrowsAsync<SandboxStateException>(() => sandbox.ExecAsync(["true"], cancellationToken: Deadline()));

        Assert.Equal(SandboxState.Hibernated, refused.Actual);
        await sandbox.SetExpiryAsync(sandbox.Expiry with { AutoWake = true }, Deadline());
        Assert.Equal(0, (await sandbox.ExecAsync(["true"], cancellationToken: Deadline())).ExitCode);
    }

    [SkippableFact]
    public async Task Use_AtTheVeryMomentOfItsExpiry_NeverFails()
    {
        _ = fixture.HostWithImage;
        const int rounds = 30;
        var clock = new ShiftableClock();
        await using var state = new OwnState();
        await using SandboxHost host = await SandboxHost.StartAsync(state.Options with { TimeProvider = clock }, cancellationToken: Deadline(240));
        await using var events = new ReadEvents(host);
        await using Sandbox sandbox = await host.CreateAsync(s_sleeper, Deadline());
        using var together = new Barrier(2);

        for (int round = 0; round < rounds; round++)
        {
            // Half of them a little later, and then while it is already at it.
            int late = round % 6;
            Task expiring = Task.Run(() =>
            {
                Assert.True(together.SignalAndWait(TimeSpan.FromSeconds(30)));
                clock.Shift(s_sleeper.Expiry.IdleTimeout!.Value);
            });
            Assert.True(together.SignalAndWait(TimeSpan.FromSeconds(30)));
            if (late > 2)
            {
                await expiring;
                await ExecTests.UntilAsync(() => Task.FromResult(sandbox.State != SandboxState.Running || late == 5));
            }

            ExecResult result = await sandbox.ExecAsync(["echo", $"{round}"], cancellationToken: Deadline());
            Assert.Equal($"{round}\n", result.StandardOutput);
            await expiring;
        }

        List<SandboxEvent> seen = await events.DrainAsync();
        Assert.Contains(seen, static one => one.Kind == SandboxEventKind.Hibernated);
        Assert.DoesNotContain(seen, static one => one.Kind == SandboxEventKind.ExpiryFailed);
        Assert.All(seen.Where(static one => one.Kind == SandboxEventKind.Woken), static one => Assert.True(one.MemoryRestored));
    }

    [SkippableFact]
    public async Task Use_SavedMemoryIsDamaged_BootsFromDiskAndTheEventSaysWhy()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        await using var events = new ReadEvents(host);
        await using Sandbox sandbox = await host.CreateAsync(s_sleeper, Deadline());
        await sandbox.ExecAsync("echo kept > /workspace/file; sync", cancellationToken: Deadline());
        SandboxHibernation saved = await sandbox.HibernateAsync(Deadline());
        string memory = Path.Combine(state.Snapshots, saved.SnapshotId, "memory");
        File.SetUnixFileMode(memory, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        await using (FileStream file = File.OpenWrite(memory))
        {
            file.Position = file.Length / 2;
            file.Write(new byte[64]);
        }

        Assert.Equal("kept\n", (await sandbox.ExecAsync("cat /workspace/file", cancellationToken: Deadline())).StandardOutput);

        SandboxEvent woken = await events.UntilAsync(SandboxEventKind.Woken);
        Assert.False(woken.MemoryRestored);
        Assert.NotEmpty(woken.Reasons);
    }

    private static CancellationToken Deadline(int seconds = 60) => ExecTests.Deadline(seconds);
}
