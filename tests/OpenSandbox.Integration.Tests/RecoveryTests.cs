using System.Diagnostics;
using System.Globalization;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Integration.Tests;

/// <summary>Detached sandboxes, and the hosts that come after the one that made them. Each test has a state directory of its own.</summary>
[Collection(HostFixture.Collection)]
public sealed class RecoveryTests(HostFixture fixture)
{
    [SkippableFact]
    public async Task Detached_HostLetsGo_TheNextOneAdoptsItWithItsProcesses()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        Sandbox sandbox;
        string process;
        await using (SandboxHost first = await state.StartHostAsync())
        {
            sandbox = await first.CreateAsync(new SandboxSpec { Lifetime = SandboxLifetime.Detached }, Deadline());
            SandboxProcess started = await sandbox.StartAsync(
                "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done", new StartOptions { Detached = true }, Deadline());
            process = started.Id;
            await sandbox.ExecAsync("echo kept > /workspace/file", cancellationToken: Deadline());
            await sandbox.ResizeAsync(1_024, cancellationToken: Deadline(60));
        }

        await using SandboxHost second = await state.StartHostAsync();
        RecoveryReport report = await second.RecoverAsync(Deadline());

        Assert.Empty(report.Problems);
        Sandbox adopted = Assert.Single(report.Adopted);
        Assert.Equal(sandbox.Id, adopted.Id);
        Assert.Equal(1_024, adopted.Limits.MemoryMib);
        Assert.Equal("kept\n", (await adopted.ExecAsync("cat /workspace/file", cancellationToken: Deadline())).StandardOutput);
        await using SandboxProcess again = await adopted.Processes.AttachAsync(process, cancellationToken: Deadline());
        byte[] buffer = new byte[100];
        Assert.Equal(0, (await again.ReadAsync(buffer, Deadline())).Sequence);

        // Everything else works on it as on a new one.
        SandboxCheckpoint checkpoint = await adopted.CheckpointAsync(cancellationToken: Deadline());
        await adopted.ExecAsync("echo later > /workspace/file", cancellationToken: Deadline());
        Assert.True((await adopted.RestoreAsync(checkpoint.Id, cancellationToken: Deadline())).MemoryRestored);
        Assert.Equal("kept\n", (await adopted.ExecAsync("cat /workspace/file", cancellationToken: Deadline())).StandardOutput);
        await adopted.HibernateAsync(Deadline());
        Assert.True((await adopted.WakeAsync(cancellationToken: Deadline())).MemoryRestored);
        Assert.Equal("kept\n", (await adopted.ExecAsync("cat /workspace/file", cancellationToken: Deadline())).StandardOutput);
        IReadOnlyList<Sandbox> forks = await second.ForkAsync(checkpoint.Id, 2, new ForkOptions { Lifetime = SandboxLifetime.Attached }, Deadline());
        foreach (Sandbox fork in forks)
        {
            Assert.Equal("kept\n", (await fork.ExecAsync("cat /workspace/file", cancellationToken: Deadline())).StandardOutput);
            await fork.DisposeAsync();
        }

        await adopted.DeleteAsync();
        Assert.True(await second.DeleteCheckpointAsync(checkpoint.Id, Deadline()));
        Assert.Empty((await second.RecoverAsync(Deadline())).Problems);
        Assert.Empty(Directory.GetFileSystemEntries(state.Layers));
        Assert.Empty(Directory.GetDirectories(state.Sandboxes));
        Assert.Empty(Directory.GetFileSystemEntries(state.Snapshots));
    }

    /// <summary>
    /// The machine is killed, and all that there is to see of that has happened, before the operation goes on: its clean-up finds the monitor
    /// disposed of and the disks closed.
    /// </summary>
    [SkippableFact]
    public async Task Detached_WithManyCheckpoints_IsAdoptedAndBootsAfterACrash()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        string id;
        await using (SandboxHost first = await state.StartHostAsync())
        {
            // Each leaves a layer of both disks behind, whether it is kept or not.
            Sandbox sandbox = await first.CreateAsync(new SandboxSpec { Lifetime = SandboxLifetime.Detached }, Deadline());
            id = sandbox.Id;
            for (int i = 0; i < 90; i++)
            {
                await sandbox.CheckpointAsync(new CheckpointOptions { Kind = CheckpointKind.DiskOnly, KeepLast = 1 }, Deadline());
            }

            await sandbox.ExecAsync("echo kept > /workspace/file; sync", cancellationToken: Deadline());
        }

        await using SandboxHost second = await state.StartHostAsync();
        Sandbox adopted = await second.OpenAsync(id, Deadline());

        Assert.Equal("kept\n", (await adopted.ExecAsync("cat /workspace/file", cancellationToken: Deadline())).StandardOutput);
        Assert.Equal(0, LifecycleTests.Kill(await adopted.Machine.GetQemuPidAsync(Deadline()), 9));
        await ExecTests.UntilAsync(() => Task.FromResult(adopted.State == SandboxState.Crashed));
        Assert.False((await adopted.WakeAsync(cancellationToken: Deadline())).MemoryRestored);
        Assert.Equal("kept\n", (await adopted.ExecAsync("cat /workspace/file", cancellationToken: Deadline())).StandardOutput);
        await adopted.DeleteAsync();
    }

    [SkippableFact]
    public async Task Fork_MachineEndsBeforeItsDisksAreSwitched_NoOperationStaysAndItBootsFromThem()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        Sandbox sandbox = await host.CreateAsync(new SandboxSpec { Lifetime = SandboxLifetime.Detached }, Deadline());
        await sandbox.ExecAsync("echo kept > /workspace/file; sync", cancellationToken: Deadline());
        using (KillAt(FaultPoints.SwitchPending, host, sandbox))
        {
            await Assert.ThrowsAnyAsync<SandboxException>(() => sandbox.ForkAsync(cancellationToken: Deadline()));
        }

        Assert.Equal(SandboxState.Crashed, sandbox.State);
        Assert.Null(host.Store.LoadSandbox(sandbox.Id).Operation);
        Assert.False((await sandbox.WakeAsync(cancellationToken: Deadline(60))).MemoryRestored);
        Assert.Equal("kept\n", (await sandbox.ExecAsync("cat /workspace/file", cancellationToken: Deadline())).StandardOutput);
        await sandbox.DeleteAsync();
    }

    /// <summary>The checkpoint is whole, and stays so when its sandbox boots from the same disks.</summary>
    [SkippableFact]
    public async Task Checkpoint_MachineEndsAfterItsDisksWereSwitched_CanBeForkedAfterABoot()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        Sandbox sandbox = await host.CreateAsync(new SandboxSpec { Lifetime = SandboxLifetime.Detached }, Deadline());
        await sandbox.ExecAsync("echo kept > /workspace/file; echo memory > /dev/shm/file", cancellationToken: Deadline());
        SandboxCheckpoint checkpoint;
        using (KillAt(FaultPoints.SwitchDone, host, sandbox))
        {
            checkpoint = await sandbox.CheckpointAsync(cancellationToken: Deadline());
        }

        Assert.Equal(SandboxState.Crashed, sandbox.State);
        Assert.False((await sandbox.WakeAsync(cancellationToken: Deadline(60))).MemoryRestored);
        Assert.Equal("kept\n", (await sandbox.ExecAsync("cat /workspace/file", cancellationToken: Deadline())).StandardOutput);
        Sandbox fork = Assert.Single(await host.ForkAsync(checkpoint.Id, 1, new ForkOptions { Lifetime = SandboxLifetime.Attached }, Deadline()));
        Assert.Equal("kept\nmemory\n", (await fork.ExecAsync("cat /workspace/file /dev/shm/file", cancellationToken: Deadline())).StandardOutput);
        await fork.DisposeAsync();
        await sandbox.DeleteAsync();
        Assert.True(await host.DeleteCheckpointAsync(checkpoint.Id, Deadline()));
    }

    [SkippableFact]
    public async Task Hibernated_TheNextHostFindsAndWakesIt()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        string id;
        await using (SandboxHost first = await state.StartHostAsync())
        {
            Sandbox sandbox = await first.CreateAsync(cancellationToken: Deadline());
            id = sandbox.Id;
            await sandbox.ExecAsync("echo memory > /dev/shm/file; echo disk > /workspace/file", cancellationToken: Deadline());
            await sandbox.HibernateAsync(Deadline());
        }

        await using SandboxHost second = await state.StartHostAsync();
        Sandbox found = await second.OpenAsync(id, Deadline());
        Assert.Equal(SandboxState.Hibernated, found.State);
        Assert.True((await found.WakeAsync(cancellationToken: Deadline())).MemoryRestored);
        Assert.Equal("memory\ndisk\n", (await found.ExecAsync("cat /dev/shm/file /workspace/file", cancellationToken: Deadline())).StandardOutput);
        await found.DeleteAsync();
        await Assert.ThrowsAsync<SandboxSnapshotException>(() => second.OpenAsync(id, Deadline()));
    }

    [SkippableFact]
    public async Task Detached_QemuIsKilled_BootsFromItsDisks()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        Sandbox sandbox = await host.CreateAsync(new SandboxSpec { Lifetime = SandboxLifetime.Detached }, Deadline());
        await sandbox.ExecAsync("echo synced > /workspace/file; sync", cancellationToken: Deadline());
        int pid = await sandbox.Machine.GetQemuPidAsync(Deadline());

        using (var kill = System.Diagnostics.Process.Start("kill", ["-9", pid.ToString(CultureInfo.InvariantCulture)]))
        {
            await kill.WaitForExitAsync(Deadline());
        }

        await ExecTests.UntilAsync(() => Task.FromResult(sandbox.State == SandboxState.Crashed));
        await Assert.ThrowsAsync<SandboxLostException>(() => sandbox.ExecAsync(["true"], cancellationToken: Deadline()));
        SandboxWake woken = await sandbox.WakeAsync(cancellationToken: Deadline());
        Assert.False(woken.MemoryRestored);
        Assert.Contains("signal 9", Assert.Single(woken.Reasons), StringComparison.Ordinal);
        Assert.Equal("synced\n", (await sandbox.ExecAsync("cat /workspace/file", cancellationToken: Deadline())).StandardOutput);
        await sandbox.DeleteAsync();
    }

    private static CancellationToken Deadline(int seconds = 60) => ExecTests.Deadline(seconds);

    /// <summary>Kills a sandbox's machine the first time that a failpoint is reached, and goes on when the host has seen and recorded that.</summary>
    private static IDisposable KillAt(string failpoint, SandboxHost host, Sandbox sandbox)
    {
        bool killed = false;
        return Fault.ArmFlow(FaultPlan.Observe((point, _) =>
        {
            if (point == failpoint && !killed)
            {
                killed = true;
                Process.GetProcessById(host.Store.LoadSandbox(sandbox.Id).Vm!.QemuPid).Kill();
                Assert.True(SpinWait.SpinUntil(() => host.Store.LoadSandbox(sandbox.Id).Vm is null, TimeSpan.FromSeconds(30)));
            }
        }));
    }
}
