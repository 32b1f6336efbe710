using OpenSandbox.Vmm.State;

namespace OpenSandbox.Integration.Tests.Faults;

/// <summary>The table of operations that are interrupted at each failpoint. A new operation is a row here and a case in the helper process.</summary>
internal static class FaultOperations
{
    private static readonly WakeOptions s_memory = new() { RequireMemory = true };

    internal static IReadOnlyList<FaultOperation> All { get; } =
    [
        new("create", Running, VerifyCreateAsync),
        new("hibernate", Running, VerifyHibernateAsync),
        new("hibernate", Running, VerifyHibernateAsync) { Title = "hibernate-undo", FailsAfter = FaultPoints.SandboxCommit },
        new("hibernate-attached", Running, VerifyHibernateAttachedAsync),
        new("compact", Running, VerifyHibernateAsync),
        new("wake", HibernatedAsync, VerifyWakeAsync),
        new("checkpoint", Running, VerifyCheckpointAsync),
        new("checkpoint-disk", Running, VerifyCheckpointAsync),
        new("fork", Running, VerifyForkAsync),
        new("fork-checkpoint", WithCheckpointAsync, VerifyForkOfCheckpointAsync),
        new("restore", WithCheckpointAsync, VerifyRestoreAsync),
        new("delete", Running, VerifyDeleteAsync),
        new("delete-checkpoint", WithCheckpointAsync, VerifyDeleteCheckpointAsync) { HasMachine = false },
        new("recover", Running, VerifyHibernateAsync) { Title = "recover-hibernate", Before = [("hibernate", $"{FaultPoints.HibernateLinked}:1=kill")] },
        new("recover", Running, VerifyDeleteAsync) { Title = "recover-delete", Before = [("delete", $"{FaultPoints.DeleteMarked}:1=kill")] },
        new("recover", Running, VerifyCheckpointAsync) { Title = "recover-checkpoint", Before = [("checkpoint", $"{FaultPoints.SwitchDone}:1=kill")] },
        new("recover", Running, VerifyCreateAsync) { Title = "recover-create", Before = [("create", $"{FaultPoints.CreateStarted}:1=kill")] },
        new("export", HibernatedAsync, VerifyWakeAsync) { HasMachine = false },
        new("import", Running, VerifyCreateAsync) { HasMachine = false },
        new("expire-set", Running, VerifyExpiryAsync),
        new("expire-use", Running, VerifyExpiryAsync),
        new("expire-hibernate", Running, VerifyExpiredAsync),
        new("expire-kill", Running, VerifyExpiredAsync),
    ];

    private static Task Running(FaultWorld world) => world.RunSubjectAsync();

    private static async Task HibernatedAsync(FaultWorld world)
    {
        await world.RunSubjectAsync();
        await world.Subject!.HibernateAsync(Deadline());
    }

    private static async Task WithCheckpointAsync(FaultWorld world)
    {
        await world.RunSubjectAsync();
        await world.MakeCheckpointAsync();
    }

    private static async Task VerifyCreateAsync(FaultWorld world, bool machineKilled)
    {
        Assert.InRange(world.Others.Count, 0, 1);
        foreach (Sandbox made in world.Others)
        {
            await GetRunningAsync(made, machineKilled);
            Assert.Equal("42\n", (await made.ExecAsync("echo 42", cancellationToken: Deadline())).StandardOutput);
            await made.DeleteAsync(Deadline());
        }

        await VerifyUntouchedAsync(world, machineKilled);
        Sandbox again = await world.Host.CreateAsync(new SandboxSpec { Lifetime = SandboxLifetime.Detached }, Deadline());
        await again.DeleteAsync(Deadline());
    }

    private static async Task VerifyHibernateAsync(FaultWorld world, bool machineKilled)
    {
        Assert.Empty(world.Others);
        Sandbox subject = world.Subject ?? throw new InvalidOperationException("the sandbox is gone");
        await GetRunningAsync(subject, machineKilled);
        await world.CheckSubjectAsync(memory: !machineKilled);
        await subject.HibernateAsync(Deadline());
        Assert.True((await subject.WakeAsync(s_memory, Deadline())).MemoryRestored);
        await world.CheckSubjectAsync(memory: true);
    }

    private static async Task VerifyHibernateAttachedAsync(FaultWorld world, bool machineKilled)
    {
        // It ends with its host, unless it was hibernated by then.
        Assert.InRange(world.Others.Count, 0, 1);
        foreach (Sandbox saved in world.Others)
        {
            Assert.Equal(SandboxState.Hibernated, saved.State);
            Assert.True((await saved.WakeAsync(s_memory, Deadline())).MemoryRestored);
            Assert.Equal("memory\ndisk\n", (await saved.ExecAsync("cat /dev/shm/file /workspace/file", cancellationToken: Deadline())).StandardOutput);
            await saved.DeleteAsync(Deadline());
        }

        await VerifyUntouchedAsync(world, machineKilled);
    }

    private static async Task VerifyWakeAsync(FaultWorld world, bool machineKilled)
    {
        Assert.Empty(world.Others);
        Sandbox subject = world.Subject ?? throw new InvalidOperationException("the sandbox is gone");
        Assert.True(machineKilled || subject.State is SandboxState.Hibernated or SandboxState.Running, $"it is {subject.State}");
        await GetRunningAsync(subject, machineKilled);
        await world.CheckSubjectAsync(memory: !machineKilled);
    }

    private static async Task VerifyCheckpointAsync(FaultWorld world, bool machineKilled)
    {
        Assert.Empty(world.Others);
        await VerifyUntouchedAsync(world, machineKilled);
        string[] made = [.. world.Host.ListCheckpoints().Select(static checkpoint => checkpoint.Id).Except(world.CheckpointsBefore)];
        Assert.InRange(made.Length, 0, 1);
        foreach (string checkpoint in made)
        {
            await UseAsync(world, checkpoint);
            await world.Host.DeleteCheckpointAsync(checkpoint, Deadline());
        }

        SandboxCheckpoint again = await world.Subject!.CheckpointAsync(cancellationToken: Deadline());
        await world.Host.DeleteCheckpointAsync(again.Id, Deadline());
    }

    private static Task VerifyForkAsync(FaultWorld world, bool machineKilled) => VerifyForksAsync(world, machineKilled, () => world.Writer.At(0));

    private static Task VerifyForkOfCheckpointAsync(FaultWorld world, bool machineKilled) =>
        VerifyForksAsync(world, machineKilled, () => world.CheckpointWriter!.At(world.CheckpointAcknowledged));

    /// <param name="world">Where.</param>
    /// <param name="machineKilled">Whether memory may be lost.</param>
    /// <param name="writerOf">The writer as it was in what they are copies of, with what it had acknowledged for certain.</param>
    private static async Task VerifyForksAsync(FaultWorld world, bool machineKilled, Func<GuestWriter> writerOf)
    {
        Assert.InRange(world.Others.Count, 0, 2);
        foreach (Sandbox fork in world.Others)
        {
            GuestWriter then = writerOf();
            bool lives = fork.State == SandboxState.Running;
            await GetRunningAsync(fork, machineKilled);
            await then.CheckAsync(fork);
            if (lives)
            {
                await then.GoesOnAsync(fork);
            }

            await fork.DeleteAsync(Deadline());
        }

        await VerifyUntouchedAsync(world, machineKilled);
        foreach (Sandbox fork in await world.Subject!.ForkAsync(1, cancellationToken: Deadline()))
        {
            await fork.DeleteAsync(Deadline());
        }
    }

    private static async Task VerifyRestoreAsync(FaultWorld world, bool machineKilled)
    {
        Assert.Empty(world.Others);
        Sandbox subject = world.Subject ?? throw new InvalidOperationException("the sandbox is gone");
        bool lived = subject.State == SandboxState.Running;
        await GetRunningAsync(subject, machineKilled);

        // A file in memory says whether it went back. After a boot only the disks can tell, and the writer's numbers do.
        bool later = await subject.Files.ExistsAsync("/dev/shm/later", Deadline());
        if (!lived || !later)
        {
            world.Writer = world.Writer.At(world.CheckpointAcknowledged);
        }

        await world.CheckSubjectAsync(memory: lived);
        Assert.True((await subject.RestoreAsync(world.Checkpoint!, s_memory, Deadline())).MemoryRestored);
        await RestoredAsync(world);
        Assert.False(await subject.Files.ExistsAsync("/dev/shm/later", Deadline()));
    }

    /// <summary>The subject is where its checkpoint is: with the process, and in the boot, that it had then.</summary>
    private static async Task RestoredAsync(FaultWorld world)
    {
        world.Writer = world.CheckpointWriter!.At(world.CheckpointAcknowledged);
        world.Boot = world.CheckpointBoot;
        await world.CheckSubjectAsync(memory: true);
    }

    private static async Task VerifyDeleteAsync(FaultWorld world, bool machineKilled)
    {
        Assert.Empty(world.Others);
        if (world.Subject is Sandbox subject)
        {
            await GetRunningAsync(subject, machineKilled);
            await world.CheckSubjectAsync(memory: !machineKilled);
            await world.DeleteSubjectAsync();
        }

        Assert.False(world.Host.Store.SandboxExists(world.SubjectId));
        await world.CheckLeaksAsync();
    }

    private static async Task VerifyDeleteCheckpointAsync(FaultWorld world, bool machineKilled)
    {
        Assert.Empty(world.Others);
        await VerifyUntouchedAsync(world, machineKilled);
        if (world.Host.ListCheckpoints().Any(checkpoint => checkpoint.Id == world.Checkpoint))
        {
            await UseAsync(world, world.Checkpoint!);
            Assert.True(await world.Host.DeleteCheckpointAsync(world.Checkpoint!, Deadline()));
        }

        world.Checkpoint = null;
    }

    /// <summary>Its expiry is the old one or the new one, and it goes on.</summary>
    private static async Task VerifyExpiryAsync(FaultWorld world, bool machineKilled)
    {
        Assert.Empty(world.Others);
        await VerifyUntouchedAsync(world, machineKilled);
        await world.Subject!.SetExpiryAsync(SandboxExpiry.Never, Deadline());
    }

    /// <summary>Its time was up, or was never set: what was to be done is done by now, or by this host.</summary>
    private static async Task VerifyExpiredAsync(FaultWorld world, bool machineKilled)
    {
        Assert.Empty(world.Others);
        if (world.Subject is { Expiry.Lifetime: not null } subject)
        {
            bool kill = subject.Expiry.Action == SandboxExpiryAction.Kill;
            await subject.SetExpiryAsync(SandboxExpiry.Never, Deadline()); // the owner may still renew it
            await (kill ? VerifyUntouchedAsync(world, machineKilled) : VerifyHibernateAsync(world, machineKilled));
        }
        else if (world.Subject is not null)
        {
            await VerifyHibernateAsync(world, machineKilled);
        }
        else
        {
            Assert.False(world.Host.Store.SandboxExists(world.SubjectId));
        }
    }

    private static async Task VerifyUntouchedAsync(FaultWorld world, bool machineKilled)
    {
        Sandbox subject = world.Subject ?? throw new InvalidOperationException("the sandbox is gone");
        await GetRunningAsync(subject, machineKilled);
        await world.CheckSubjectAsync(memory: !machineKilled);
    }

    /// <summary>A checkpoint is whole: a sandbox made of it has its files.</summary>
    private static async Task UseAsync(FaultWorld world, string checkpoint)
    {
        foreach (Sandbox fork in await world.Host.ForkAsync(checkpoint, 1, new ForkOptions { Lifetime = SandboxLifetime.Attached }, Deadline()))
        {
            await world.Writer.At(0).CheckAsync(fork);
            await fork.DeleteAsync(Deadline());
        }
    }

    private static async Task GetRunningAsync(Sandbox sandbox, bool machineKilled)
    {
        if (sandbox.State == SandboxState.Hibernated)
        {
            Assert.True((await sandbox.WakeAsync(s_memory, Deadline())).MemoryRestored);
        }
        else if (sandbox.State == SandboxState.Crashed)
        {
            Assert.True(machineKilled, "its VM is gone, and nobody killed it");
            await sandbox.WakeAsync(cancellationToken: Deadline());
        }

        Assert.Equal(SandboxState.Running, sandbox.State);
    }

    private static CancellationToken Deadline(int seconds = 60) => ExecTests.Deadline(seconds);
}
