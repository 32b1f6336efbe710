using System.Globalization;

namespace OpenSandbox.Integration.Tests;

/// <summary>Disks and memory of a checkpoint are of one instant, whatever the guest's root does about being frozen.</summary>
[Collection(HostFixture.Collection)]
public sealed class DiskInstantTests(HostFixture fixture)
{
    private static readonly TimeSpan s_limit = TimeSpan.FromMinutes(3);

    /// <summary>
    /// A process of root's that has left its cgroup and so is not frozen. It counts in its memory and, past every cache, in the last block of
    /// the workspace's disk, and says so if it ever finds another number there than its own.
    /// </summary>
    private const string Counter = """
        import mmap, os, struct, sys
        open("/sys/fs/cgroup/cgroup.procs", "w").write(str(os.getpid()))
        device = [l.split()[0] for l in open("/proc/mounts") if l.split()[1] == "/workspace"][0]
        disk = os.open(device, os.O_RDWR | os.O_DIRECT)
        at = os.lseek(disk, 0, os.SEEK_END) - 4096
        page = mmap.mmap(-1, 4096)
        count = 0
        while True:
            count += 1
            struct.pack_into("<Q", page, 0, count)
            os.pwritev(disk, [page], at)
            struct.pack_into("<Q", page, 0, 0)
            os.preadv(disk, [page], at)
            found = struct.unpack_from("<Q", page, 0)[0]
            if found != count:
                open("/tmp/mismatch", "a").write(f"{count} in memory, {found} on disk\n")
            if count % 64 == 0:
                open("/tmp/count.new", "w").write(str(count))
                os.rename("/tmp/count.new", "/tmp/count")
        """;

    [SkippableFact]
    public async Task Checkpoint_WhileUnfrozenProcessWritesToTheDisk_IsOfOneInstant()
    {
        Skip.If(HostFixture.MissingPrerequisite is not null, HostFixture.MissingPrerequisite);
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(new SandboxSpec());
        await using SandboxProcess writer = await sandbox.StartAsync(["python3", "-c", Counter], new StartOptions { User = "root" });
        await WaitForAsync(sandbox, 64);

        for (int i = 0; i < 4; i++)
        {
            SandboxCheckpoint checkpoint = await sandbox.CheckpointAsync();
            await using Sandbox fork = Assert.Single(await fixture.HostWithImage.ForkAsync(checkpoint.Id));
            await WaitForAsync(fork, await CountAsync(fork) + 128);
            Assert.Equal("", await ReadAsync(fork, "/tmp/mismatch"));
        }

        const int switchedTooEarly = 4070;
        Assert.Contains(fixture.Log.Entries, entry => entry.EventId == switchedTooEarly && entry.Message.Contains(sandbox.Id, StringComparison.Ordinal));
        Assert.Equal("", await ReadAsync(sandbox, "/tmp/mismatch"));
        long count = await CountAsync(sandbox);
        await WaitForAsync(sandbox, count + 128);
        await writer.KillAsync();
    }

    private static async Task<string> ReadAsync(Sandbox sandbox, string path) =>
        (await sandbox.ExecAsync($"cat {path} 2>/dev/null || true").WaitAsync(s_limit)).StandardOutput;

    private static async Task<long> CountAsync(Sandbox sandbox) =>
        long.TryParse(await ReadAsync(sandbox, "/tmp/count"), NumberStyles.None, CultureInfo.InvariantCulture, out long count) ? count : 0;

    private static async Task WaitForAsync(Sandbox sandbox, long count)
    {
        using var limit = new CancellationTokenSource(s_limit);
        while (await CountAsync(sandbox) < count)
        {
            limit.Token.ThrowIfCancellationRequested();
        }
    }
}
