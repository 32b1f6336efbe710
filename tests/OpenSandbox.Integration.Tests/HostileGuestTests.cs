namespace OpenSandbox.Integration.Tests;

/// <summary>What a guest's user can do to its own sandbox: the agent answers afterwards, a second sandbox does not notice.</summary>
[Collection(HostFixture.Collection)]
public sealed class HostileGuestTests(HostFixture fixture)
{
    public static TheoryData<string, string> Attacks => new()
    {
        { "fork bomb", "b() { b | b & }; b; sleep 1000" },
        { "process limit", "i=0; while [ $i -lt 400 ]; do sleep 1000 & i=$((i+1)); done; wait" },
        { "memory hog", "python3 -c 'x=[bytearray(1<<20) for _ in range(4000)]'" },
        { "yes flood", "yes" },
        { "stderr flood", "yes 1>&2" },
        { "ignores SIGTERM", "trap '' TERM INT HUP QUIT; while :; do :; done" },
        { "kills everything", "sudo kill -9 -1; kill -9 -1" },
        { "double fork", "for i in 1 2 3 4 5; do setsid sh -c 'setsid sleep 1000 & setsid sleep 1000 &' & done; exit 3" },
        { "open files", "python3 -c 'import os\nf=[]\ntry:\n  while True: f.append(os.open(\"/dev/null\",0))\nexcept OSError: pass\nimport time; time.sleep(1000)'" },
        { "writes to the ports", "sudo sh -c 'for p in /dev/vport* /dev/hvc* /dev/virtio-ports/*; do head -c 100000 /dev/urandom > $p; done'" },
        { "unmounts", "sudo sh -c 'umount -l /proc /sys /dev /workspace /tmp /sys/fs/cgroup'; sudo umount -l -a" },
        { "removes its root", "sudo rm -rf --no-preserve-root / 2>/dev/null" },
        { "removes its cgroup", "sudo sh -c 'for d in /sys/fs/cgroup/sandbox/*/; do rmdir $d; done; echo 0 > /sys/fs/cgroup/cgroup.subtree_control; echo max > /sys/fs/cgroup/sandbox/pids.max'" },
        { "huge passwd", "sudo sh -c 'head -c 50000000 /dev/urandom > /etc/passwd; rm /etc/group; mkdir /etc/group'" },
        { "stops PID 1", "sudo kill -STOP 1; sudo kill -KILL 1; sudo kill -TERM 1; sudo sh -c 'echo 1 > /proc/1/clear_refs; cat /proc/1/mem'" },
    };

    [SkippableTheory]
    [MemberData(nameof(Attacks))]
    public async Task Attack_OnItsOwnSandbox_LeavesTheAgentAliveAndOthersUntouched(string name, string script)
    {
        SandboxHost host = fixture.HostWithImage;
        await using Sandbox victim = await host.CreateAsync();
        await using Sandbox other = await host.CreateAsync();

        ExecResult result = await victim.ExecAsync(
            ["bash", "-c", script],
            new ExecOptions { Timeout = TimeSpan.FromSeconds(6), MaxOutputBytes = 1 << 20 },
            ExecTests.Deadline());

        Assert.True(result.StandardOutputBytes.Length <= 1 << 20);
        Assert.True(await victim.PingAsync(ExecTests.Deadline(10)) < TimeSpan.FromSeconds(5), name);
        Assert.Equal("other\n", (await other.ExecAsync(["echo", "other"], cancellationToken: ExecTests.Deadline(20))).StandardOutput);
        Assert.Equal(SandboxState.Running, victim.State);

        // The root file system may be gone, but the agent still starts what is there and says what is not.
        try
        {
            ExecResult after = await victim.ExecAsync(["/bin/echo", "alive"], new ExecOptions { User = "0:0", WorkingDirectory = "/" }, ExecTests.Deadline(30));
            Assert.Equal("alive\n", after.StandardOutput);
        }
        catch (SandboxOperationException failure) when (name is "removes its root" or "process limit" or "double fork" or "unmounts" or "fork bomb")
        {
            Assert.True(failure.Code is SandboxErrorCode.NotFound or SandboxErrorCode.LimitReached, failure.Message);
        }
    }

    /// <summary>
    /// Stops every process of its user as fast as it can, also those that the agent has just given that user and not yet turned into their
    /// program: the agent must not stand still with them.
    /// </summary>
    [SkippableFact]
    public async Task StopStorm_AgainstStartingCommands_NeverStopsTheAgent()
    {
        const string storm = "import os,signal\nwhile True:\n  os.kill(-1, signal.SIGSTOP)";
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync();
        await using (SandboxProcess attacker = await sandbox.StartAsync(["python3", "-c", storm], cancellationToken: ExecTests.Deadline()))
        {
            for (int i = 0; i < 10; i++)
            {
                try
                {
                    await sandbox.ExecAsync(["true"], new ExecOptions { Timeout = TimeSpan.FromMilliseconds(200) }, ExecTests.Deadline(30));
                }
                catch (SandboxOperationException refused)
                {
                    Assert.NotEqual(SandboxErrorCode.OperationFailed, refused.Code);
                }

                await sandbox.PingAsync(ExecTests.Deadline(10));
            }

            await attacker.KillAsync(ExecTests.Deadline());
        }

        Assert.Equal("alive\n", (await sandbox.ExecAsync(["echo", "alive"], cancellationToken: ExecTests.Deadline(30))).StandardOutput);
    }

    [SkippableFact]
    public async Task MemoryHog_IsReportedAsOutOfMemory()
    {
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync();

        ExecResult result = await sandbox.ExecAsync(
            ["python3", "-c", "x=[bytearray(1<<20) for _ in range(4000)]"], cancellationToken: ExecTests.Deadline());

        Assert.Equal(137, result.ExitCode);
        Assert.True(result.Exit.OutOfMemory);
    }

    [SkippableFact]
    public async Task KernelPanic_IsReportedAsLostWithTheReason()
    {
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync();
        Task<ExecResult> running = sandbox.ExecAsync(["sleep", "1000"], cancellationToken: ExecTests.Deadline());
        Task<ExecResult> trigger = sandbox.ExecAsync(["sudo", "sh", "-c", "echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger"], cancellationToken: ExecTests.Deadline());

        SandboxLostException lost = await Assert.ThrowsAsync<SandboxLostException>(() => running);
        await Assert.ThrowsAsync<SandboxLostException>(() => trigger);

        Assert.Equal(SandboxExitReason.GuestEnded, lost.Exit.Reason);
        Assert.Contains("panic", lost.Message, StringComparison.OrdinalIgnoreCase);
        Assert.Equal(SandboxExitReason.GuestEnded, (await sandbox.Stopped.WaitAsync(TimeSpan.FromSeconds(10))).Reason);
        await Assert.ThrowsAsync<SandboxLostException>(async () => await sandbox.PingAsync());
        await Assert.ThrowsAsync<SandboxLostException>(() => sandbox.ExecAsync(["true"]));
    }

    [SkippableFact]
    public async Task Reboot_EndsTheSandbox()
    {
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync();
        await Assert.ThrowsAsync<SandboxLostException>(
            () => sandbox.ExecAsync(["sudo", "sh", "-c", "echo 1 > /proc/sys/kernel/sysrq; echo b > /proc/sysrq-trigger"], cancellationToken: ExecTests.Deadline()));

        Assert.Equal(SandboxExitReason.GuestEnded, (await sandbox.Stopped.WaitAsync(TimeSpan.FromSeconds(10))).Reason);
    }
}
