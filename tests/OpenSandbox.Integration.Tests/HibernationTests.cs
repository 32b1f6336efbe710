using System.Globalization;

namespace OpenSandbox.Integration.Tests;

/// <summary>Sandboxes that are put away with all their memory, and come back.</summary>
[Collection(HostFixture.Collection)]
public sealed class HibernationTests(HostFixture fixture)
{
    private const string Counter = """
        import os, time
        i = 0
        log = open('/workspace/log', 'a')
        while True:
            i += 1
            open('/tmp/count.new', 'w').write(str(i))
            os.replace('/tmp/count.new', '/tmp/count')
            log.write(f'{i}\n')
            log.flush()
            time.sleep(0.01)
        """;

    [SkippableFact]
    public async Task Hibernate_Wake_ProcessesFilesAndMemoryAreThereAndGoOn()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        await using Sandbox sandbox = await host.CreateAsync(cancellationToken: Deadline());
        SandboxProcess counter = await sandbox.StartAsync(["python3", "-c", Counter], cancellationToken: Deadline());
        await ExecTests.UntilAsync(async () => await CountAsync(sandbox) > 5);
        await sandbox.ExecAsync("echo kept > /workspace/file; head -c 5000000 /dev/urandom > /dev/shm/data", cancellationToken: Deadline());
        string digest = (await sandbox.ExecAsync("sha256sum < /dev/shm/data", cancellationToken: Deadline())).StandardOutput;
        int before = await CountAsync(sandbox);

        SandboxHibernation saved = await sandbox.HibernateAsync(Deadline());

        Assert.Equal(SandboxState.Hibernated, sandbox.State);
        await Assert.ThrowsAsync<SandboxStateException>(() => sandbox.ExecAsync(["true"], cancellationToken: Deadline()));
        Assert.True(saved.MemoryPages > 1_000, $"{saved.MemoryPages} pages");

        SandboxWake woken = await sandbox.WakeAsync(cancellationToken: Deadline());

        Assert.True(woken.MemoryRestored, string.Join("; ", woken.Reasons));
        Assert.Equal(digest, (await sandbox.ExecAsync("sha256sum < /dev/shm/data", cancellationToken: Deadline())).StandardOutput);
        Assert.Equal("kept\n", (await sandbox.ExecAsync("cat /workspace/file", cancellationToken: Deadline())).StandardOutput);
        int after = await CountAsync(sandbox);
        Assert.True(after >= before, $"{before} before, {after} after");
        await ExecTests.UntilAsync(async () => await CountAsync(sandbox) > after + 5);
        double asked = Now();
        string clock = (await sandbox.ExecAsync("date +%s.%N", cancellationToken: Deadline())).StandardOutput;
        Assert.InRange(double.Parse(clock, CultureInfo.InvariantCulture), asked - 0.05, Now() + 0.05);

        static double Now() => (DateTimeOffset.UtcNow - DateTimeOffset.UnixEpoch).TotalMilliseconds / 1e3;
    }

    [SkippableFact]
    public async Task Hibernate_PluggedMemoryFullOfData_ComesBackBitForBit()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        await using Sandbox sandbox = await host.CreateAsync(new SandboxSpec { MemoryMib = 1_024 }, Deadline());
        await sandbox.ExecAsync(["sh", "-c", "mount -o remount,size=800m /dev/shm"], new ExecOptions { User = "root" }, Deadline());
        ExecResult written = await sandbox.ExecAsync(
            "head -c 600000000 /dev/urandom > /dev/shm/data && sha256sum < /dev/shm/data", cancellationToken: Deadline(120));
        Assert.Equal(0, written.ExitCode);

        await sandbox.HibernateAsync(Deadline(120));
        Assert.True((await sandbox.WakeAsync(cancellationToken: Deadline(120))).MemoryRestored);

        Assert.Equal(written.StandardOutput, (await sandbox.ExecAsync("sha256sum < /dev/shm/data", cancellationToken: Deadline(120))).StandardOutput);
        Assert.Equal(1_024, sandbox.Limits.MemoryMib);
        await Assert.ThrowsAsync<SandboxMemoryInUseException>(() => sandbox.ResizeAsync(512, cancellationToken: Deadline(120)));
        await sandbox.ExecAsync("rm /dev/shm/data", cancellationToken: Deadline());
        Assert.Equal(512, (await sandbox.ResizeAsync(512, cancellationToken: Deadline(120))).MemoryMib);
    }

    [SkippableFact]
    public async Task Hibernate_ManyTimes_EveryLineThatWasWrittenIsThere()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        await using Sandbox sandbox = await host.CreateAsync(cancellationToken: Deadline());
        await sandbox.StartAsync(["python3", "-c", Counter], cancellationToken: Deadline());
        for (int cycle = 0; cycle < 5; cycle++)
        {
            int before = await CountAsync(sandbox);
            await ExecTests.UntilAsync(async () => await CountAsync(sandbox) > before);
            await sandbox.HibernateAsync(Deadline());
            Assert.True((await sandbox.WakeAsync(cancellationToken: Deadline())).MemoryRestored);
        }

        ExecResult check = await sandbox.ExecAsync(
            "cat /workspace/log | awk 'NR != $1 { bad = 1 } END { print NR, bad + 0 }'; dmesg 2>/dev/null | grep -ci 'ext4.*error'",
            cancellationToken: Deadline());
        Assert.Matches("^[0-9]+ 0\n0\n$", check.StandardOutput);
    }

    private static CancellationToken Deadline(int seconds = 30) => ExecTests.Deadline(seconds);

    private static async Task<int> CountAsync(Sandbox sandbox)
    {
        ExecResult read = await sandbox.ExecAsync("cat /tmp/count", cancellationToken: Deadline());
        return int.TryParse(read.StandardOutput, CultureInfo.InvariantCulture, out int count) ? count : 0;
    }
}
