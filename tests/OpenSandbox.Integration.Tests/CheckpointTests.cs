using System.Globalization;

namespace OpenSandbox.Integration.Tests;

/// <summary>Checkpoints: made while the sandbox runs, gone back to, forked, kept and deleted.</summary>
[Collection(HostFixture.Collection)]
public sealed class CheckpointTests(HostFixture fixture)
{
    [SkippableFact]
    public async Task Checkpoint_Restore_TakesMemoryAndDisksBack()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        await using Sandbox sandbox = await host.CreateAsync(cancellationToken: Deadline());
        await sandbox.ExecAsync("echo 1 > /workspace/disk; echo 1 > /dev/shm/memory; echo 1 > /var/tmp/root", cancellationToken: Deadline());

        SandboxCheckpoint full = await sandbox.CheckpointAsync(new CheckpointOptions { Name = "first" }, Deadline());
        await sandbox.ExecAsync("echo 2 > /workspace/disk; echo 2 > /dev/shm/memory; echo 2 > /var/tmp/root", cancellationToken: Deadline());
        SandboxCheckpoint disks = await sandbox.CheckpointAsync(new CheckpointOptions { Kind = CheckpointKind.DiskOnly }, Deadline());
        await sandbox.ExecAsync("echo 3 > /workspace/disk; echo 3 > /dev/shm/memory; echo 3 > /var/tmp/root", cancellationToken: Deadline());

        Assert.Equal([full.Id, disks.Id], sandbox.ListCheckpoints().Select(static checkpoint => checkpoint.Id));
        Assert.Equal(("first", CheckpointKind.Full, CheckpointKind.DiskOnly), (full.Name, full.Kind, disks.Kind));
        Assert.True((await sandbox.RestoreAsync(full.Id, cancellationToken: Deadline())).MemoryRestored);
        Assert.Equal("1\n1\n1\n", await ReadAsync(sandbox));
        Assert.False((await sandbox.RestoreAsync(disks.Id, cancellationToken: Deadline())).MemoryRestored);
        Assert.Equal("2\n2\n", (await sandbox.ExecAsync("cat /workspace/disk /var/tmp/root", cancellationToken: Deadline())).StandardOutput);
        Assert.True((await sandbox.RestoreAsync(full.Id, cancellationToken: Deadline())).MemoryRestored);
        Assert.Equal("1\n1\n1\n", await ReadAsync(sandbox));

        // A checkpoint's layers outlive it as long as something builds on them, however often is swept.
        Assert.True(await host.DeleteCheckpointAsync(full.Id, Deadline()));
        Assert.True(await host.DeleteCheckpointAsync(disks.Id, Deadline()));
        Assert.False(await host.DeleteCheckpointAsync(disks.Id, Deadline()));
        await host.RecoverAsync(Deadline());
        await sandbox.HibernateAsync(Deadline());
        await host.RecoverAsync(Deadline());
        Assert.True((await sandbox.WakeAsync(cancellationToken: Deadline())).MemoryRestored);
        Assert.Equal("1\n1\n1\n", await ReadAsync(sandbox));
        await sandbox.DeleteAsync();
        await host.RecoverAsync(Deadline());
        Assert.Empty(Directory.GetFileSystemEntries(state.Layers));
        Assert.Empty(Directory.GetFileSystemEntries(state.Snapshots));
    }

    [SkippableFact]
    public async Task Checkpoint_KeepLast_DeletesTheOldestButNotTheRetained()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        await using Sandbox sandbox = await host.CreateAsync(cancellationToken: Deadline());

        SandboxCheckpoint retained = await sandbox.CheckpointAsync(
            new CheckpointOptions { Retained = true, Kind = CheckpointKind.DiskOnly }, Deadline());
        var made = new List<string>();
        for (int i = 0; i < 4; i++)
        {
            made.Add((await sandbox.CheckpointAsync(new CheckpointOptions { KeepLast = 2, Kind = CheckpointKind.DiskOnly }, Deadline())).Id);
        }

        Assert.Equal([retained.Id, made[2], made[3]], sandbox.ListCheckpoints().Select(static checkpoint => checkpoint.Id));
    }

    [SkippableFact]
    public async Task Fork_FromACheckpointOfADeletedSandbox_GoesOnWithItsProcesses()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        Sandbox parent = await host.CreateAsync(
            new SandboxSpec { EnvironmentVariables = new Dictionary<string, string> { ["ONE"] = "parent" }, Labels = new Dictionary<string, string> { ["team"] = "a" } },
            Deadline());
        await parent.StartAsync("i=0; while :; do i=$((i+1)); echo $i > /dev/shm/count; sleep 0.02; done", cancellationToken: Deadline());
        await ExecTests.UntilAsync(async () => await CountAsync(parent) > 3);
        SandboxCheckpoint checkpoint = await parent.CheckpointAsync(cancellationToken: Deadline());
        await parent.DeleteAsync();

        Assert.Equal("a", Assert.Single(host.ListCheckpoints()).Labels["team"]);
        IReadOnlyList<Sandbox> forks = await host.ForkAsync(checkpoint.Id, 2, cancellationToken: Deadline());
        Sandbox other = Assert.Single(await host.ForkAsync(
            checkpoint.Id, 1, new ForkOptions { EnvironmentVariables = new Dictionary<string, string> { ["ONE"] = "fork" } }, Deadline()));

        foreach (Sandbox fork in forks.Append(other))
        {
            Assert.True(fork.StartedFromMemory);
            int first = await CountAsync(fork);
            await ExecTests.UntilAsync(async () => await CountAsync(fork) > first + 3);
            string one = (await fork.ExecAsync("echo $ONE", cancellationToken: Deadline())).StandardOutput;
            Assert.Equal(fork == other ? "fork\n" : "parent\n", one);
            await fork.DisposeAsync();
        }
    }

    [SkippableFact]
    public async Task Operations_TwoAtOnce_TheSecondIsToldWhatIsUnderWay()
    {
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(cancellationToken: Deadline());

        Task<SandboxPause> pausing = sandbox.PauseAsync(new PauseOptions { PageOut = true }, Deadline()); // which takes a while
        SandboxConflictException conflict = await Assert.ThrowsAsync<SandboxConflictException>(() => sandbox.ForkAsync(cancellationToken: Deadline()));
        await pausing;

        Assert.Equal("pausing", conflict.UnderWay);
        Assert.Equal(SandboxState.Paused, sandbox.State);
        await Assert.ThrowsAsync<SandboxStateException>(() => sandbox.ExecAsync(["true"], cancellationToken: Deadline()));
        await sandbox.ResumeAsync(Deadline());
        Assert.Equal(0, (await sandbox.ExecAsync(["true"], cancellationToken: Deadline())).ExitCode);
    }

    [SkippableFact]
    public async Task Pause_GuestStandsStillAndItsClockIsRightAfterwards()
    {
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(cancellationToken: Deadline());
        await sandbox.StartAsync("i=0; while :; do i=$((i+1)); echo $i > /dev/shm/count; sleep 0.01; done", cancellationToken: Deadline());
        await ExecTests.UntilAsync(async () => await CountAsync(sandbox) > 3);
        int before = await CountAsync(sandbox);

        SandboxPause pause = await sandbox.PauseAsync(new PauseOptions { PageOut = true }, Deadline());
        await Task.Delay(TimeSpan.FromSeconds(2)); // what is measured is that time passes outside
        await sandbox.ResumeAsync(Deadline());

        Assert.True(pause.PagedOutBytes >= 0);
        DateTimeOffset asked = DateTimeOffset.UtcNow;
        string clock = (await sandbox.ExecAsync("date +%s.%N", cancellationToken: Deadline())).StandardOutput;
        double guest = double.Parse(clock, CultureInfo.InvariantCulture);
        Assert.InRange(guest, Seconds(asked) - 0.05, Seconds(DateTimeOffset.UtcNow) + 0.05);
        Assert.True(await CountAsync(sandbox) - before < 150, "the guest ran while it was paused");
    }

    private static double Seconds(DateTimeOffset time) => (time - DateTimeOffset.UnixEpoch).TotalSeconds;

    private static CancellationToken Deadline(int seconds = 60) => ExecTests.Deadline(seconds);

    private static async Task<string> ReadAsync(Sandbox sandbox) =>
        (await sandbox.ExecAsync("cat /workspace/disk /dev/shm/memory /var/tmp/root", cancellationToken: Deadline())).StandardOutput;

    private static async Task<int> CountAsync(Sandbox sandbox)
    {
        ExecResult read = await sandbox.ExecAsync("cat /dev/shm/count", cancellationToken: Deadline());
        return int.TryParse(read.StandardOutput, CultureInfo.InvariantCulture, out int count) ? count : 0;
    }
}
