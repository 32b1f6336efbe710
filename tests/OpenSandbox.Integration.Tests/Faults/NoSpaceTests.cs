namespace OpenSandbox.Integration.Tests.Faults;

/// <summary>R6: the host's disk is full while something is saved or made. The caller is told, nothing is left of it, and later it works.</summary>
[Collection(HostFixture.Collection)]
[Trait("Category", "Faults")]
public sealed class NoSpaceTests(HostFixture fixture)
{
    private const int RoomMib = 256;
    private const long MiB = 1 << 20;

    // What the guest itself still has room to write meanwhile: with none at all, QEMU would stop it.
    private const long Left = 8 * MiB;

    // More than what is left, and not to be compressed.
    private const string FillMemory = "head -c 30000000 /dev/urandom > /dev/shm/data; sha256sum < /dev/shm/data; echo disk > /workspace/file";

    public static TheoryData<string, SandboxLifetime> Operations => new()
    {
        { "hibernate", SandboxLifetime.Attached },
        { "hibernate", SandboxLifetime.Detached },
        { "checkpoint", SandboxLifetime.Attached },
        { "checkpoint", SandboxLifetime.Detached },
    };

    [SkippableTheory]
    [MemberData(nameof(Operations))]
    public async Task Saving_OnAFullDisk_FailsCleanlyAndWorksLater(string operation, SandboxLifetime lifetime)
    {
        _ = fixture.HostWithImage;
        Skip.If(Environment.UserName != "root", "mounting needs root");
        await using var state = new OwnState(RoomMib);
        await using SandboxHost host = await state.StartHostAsync();
        Sandbox sandbox = await host.CreateAsync(new SandboxSpec { Lifetime = lifetime }, Deadline());
        string digest = (await sandbox.ExecAsync(FillMemory, cancellationToken: Deadline())).StandardOutput;
        string boot = await BootAsync(sandbox);
        string filler = Fill(state, Left);

        SandboxOperationException refused = await Assert.ThrowsAsync<SandboxOperationException>(() => SaveAsync(sandbox, operation));

        Assert.Equal(SandboxErrorCode.NoSpace, refused.Code);
        Assert.Contains("full", refused.Message, StringComparison.Ordinal);
        Assert.Equal(SandboxState.Running, sandbox.State);
        Assert.Equal(boot, await BootAsync(sandbox));
        Assert.Empty(host.ListCheckpoints());
        Assert.Empty(Directory.GetFileSystemEntries(state.Snapshots));
        await ExecTests.UntilAsync(() => Task.FromResult(Free(state) > Left / 2)); // given back

        File.Delete(filler);
        await SaveAsync(sandbox, operation);
        if (operation == "hibernate")
        {
            Assert.True((await sandbox.WakeAsync(new WakeOptions { RequireMemory = true }, Deadline())).MemoryRestored);
        }

        Assert.Equal(boot, await BootAsync(sandbox));
        Assert.Equal(digest, (await sandbox.ExecAsync("sha256sum < /dev/shm/data", cancellationToken: Deadline())).StandardOutput);
        Assert.Equal("disk\n", (await sandbox.ExecAsync("cat /workspace/file", cancellationToken: Deadline())).StandardOutput);
        await sandbox.DeleteAsync(Deadline());
    }

    [SkippableTheory]
    [InlineData(SandboxLifetime.Attached)]
    [InlineData(SandboxLifetime.Detached)]
    public async Task CreateAndFork_OnAFullDisk_FailCleanlyAndWorkLater(SandboxLifetime lifetime)
    {
        _ = fixture.HostWithImage;
        Skip.If(Environment.UserName != "root", "mounting needs root");
        await using var state = new OwnState(RoomMib);
        await using SandboxHost host = await state.StartHostAsync();
        var spec = new SandboxSpec { Lifetime = lifetime };
        await using Sandbox parent = await host.CreateAsync(spec, Deadline());
        await parent.ExecAsync("echo kept > /workspace/file; sync", cancellationToken: Deadline());
        string boot = await BootAsync(parent);
        string filler = Fill(state, 0);

        SandboxException notMade = await Assert.ThrowsAnyAsync<SandboxException>(() => host.CreateAsync(spec, Deadline()));
        SandboxException notForked = await Assert.ThrowsAnyAsync<SandboxException>(() => parent.ForkAsync(2, cancellationToken: Deadline()));

        Assert.All([notMade, notForked], static refused => Assert.Contains("space", refused.Message, StringComparison.Ordinal));
        Assert.Equal([parent], host.List());
        File.Delete(filler);
        Assert.Equal(boot, await BootAsync(parent));
        foreach (Sandbox fork in await parent.ForkAsync(2, cancellationToken: Deadline()))
        {
            Assert.Equal("kept\n", (await fork.ExecAsync("cat /workspace/file", cancellationToken: Deadline())).StandardOutput);
            await fork.DeleteAsync(Deadline());
        }

        Sandbox made = await host.CreateAsync(spec, Deadline());
        await made.DeleteAsync(Deadline());
        await parent.DeleteAsync(Deadline());
        Assert.Empty((await host.RecoverAsync(Deadline())).Problems);
        Assert.Empty(Directory.GetFileSystemEntries(state.Layers));
        Assert.Empty(Directory.GetDirectories(state.Sandboxes));
    }

    private static async Task SaveAsync(Sandbox sandbox, string operation)
    {
        if (operation == "hibernate")
        {
            await sandbox.HibernateAsync(Deadline());
        }
        else
        {
            await sandbox.CheckpointAsync(cancellationToken: Deadline());
        }
    }

    private static async Task<string> BootAsync(Sandbox sandbox) =>
        (await sandbox.ExecAsync("cat /proc/sys/kernel/random/boot_id", cancellationToken: Deadline())).StandardOutput;

    /// <summary>Fills the disk up to what is to be left.</summary>
    private static string Fill(OwnState state, long left)
    {
        string path = Path.Combine(state.Options.StateDirectory, "filler");
        using FileStream file = File.Create(path, 1);
        byte[] zeros = new byte[65_536];
        for (long rest = Free(state) - left; rest > 0; rest -= zeros.Length)
        {
            try
            {
                file.Write(zeros.AsSpan(0, (int)Math.Min(zeros.Length, rest)));
            }
            catch (IOException)
            {
                break; // full already
            }
        }

        return path;
    }

    private static long Free(OwnState state) =>
        new DriveInfo(state.Options.StateDirectory).AvailableFreeSpace;

    private static CancellationToken Deadline(int seconds = 60) => ExecTests.Deadline(seconds);
}
