using System.Globalization;
using System.Runtime.InteropServices;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Integration.Tests;

[Collection(HostFixture.Collection)]
public sealed class LifecycleTests(HostFixture fixture)
{
    [SkippableFact]
    public async Task Create_WithoutImage_RunsTheInitramfs()
    {
        await using Sandbox sandbox = await fixture.Host.CreateAsync(new SandboxSpec { Image = null });

        Assert.Equal(0, (await sandbox.ExecAsync(["/bin/true"], cancellationToken: ExecTests.Deadline())).ExitCode);
        Assert.Matches("^sb-[0-9a-f]{8}$", sandbox.Id);
        Assert.True(fixture.Host.TryGet(sandbox.Id, out Sandbox? found) && ReferenceEquals(found, sandbox));
    }

    [SkippableFact]
    public async Task CreateAndExec_Command_RunsInASandboxThatStays()
    {
        SandboxHost host = fixture.HostWithImage;
        byte[] input = new byte[1_000_000];
        new Random(9).NextBytes(input);

        SandboxFirstExec first = await host.CreateAndExecAsync(
            ["sh", "-c", "cat > kept; sha256sum kept; exit 5"], options: new ExecOptions { StandardInput = input }, cancellationToken: ExecTests.Deadline());

        await using Sandbox sandbox = first.Sandbox;
        Assert.Equal(5, first.Result.ExitCode);
        Assert.StartsWith(Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(input)), first.Result.StandardOutput, StringComparison.Ordinal);
        Assert.Equal(input, await sandbox.Files.ReadAllBytesAsync("/workspace/kept", cancellationToken: ExecTests.Deadline()));
    }

    [SkippableFact]
    public async Task CreateAndExec_ProgramThatIsNone_SaysSoAndLeavesNothing()
    {
        SandboxHost host = fixture.HostWithImage;
        int before = host.List().Count;

        SandboxOperationException failure = await Assert.ThrowsAsync<SandboxOperationException>(
            () => host.CreateAndExecAsync(["/no/such/program"], cancellationToken: ExecTests.Deadline()));

        Assert.Equal(SandboxErrorCode.NotFound, failure.Code);
        Assert.Equal(before, host.List().Count);
    }

    [SkippableFact]
    public async Task Create_MoreMemoryThanTheGolden_IsPluggedIn()
    {
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(new SandboxSpec { MemoryMib = 1_024 });
        ExecResult result = await sandbox.ExecAsync(
            ["python3", "-c", "x=bytearray(700<<20); print(len(x)>>20)"], cancellationToken: ExecTests.Deadline());

        Assert.Equal("700\n", result.StandardOutput);
        Assert.InRange(sandbox.GuestMemoryBytes, 900L << 20, 1_024L << 20);
    }

    [SkippableFact]
    public async Task Create_LessMemoryThanTheGolden_IsALimit()
    {
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(new SandboxSpec { MemoryMib = 256 });
        ExecResult result = await sandbox.ExecAsync(["python3", "-c", "x=bytearray(300<<20)"], cancellationToken: ExecTests.Deadline());

        Assert.NotEqual(0, result.ExitCode);
        Assert.True(result.Exit.OutOfMemory);
    }

    [SkippableFact]
    public async Task Create_Sequential200_AllAreRightAndNothingLeaks()
    {
        SandboxHost host = fixture.HostWithImage;
        await OneAsync(host, 0);
        Leaks before = Leaks.Now(host);
        for (int i = 1; i <= 200; i++)
        {
            await OneAsync(host, i);
        }

        Leaks after = Leaks.Now(host);
        Assert.Equal(before with { Descriptors = after.Descriptors }, after);
        Assert.InRange(after.Descriptors, 0, before.Descriptors + 2);
        Assert.Empty(host.List());
    }

    [SkippableFact]
    public async Task Create_50With8AtATime_AllAreRightAndNothingLeaks()
    {
        SandboxHost host = fixture.HostWithImage;
        await OneAsync(host, 0);
        Leaks before = Leaks.Now(host);
        await Parallel.ForAsync(1, 51, new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (i, _) => await OneAsync(host, i));

        Leaks after = Leaks.Now(host);
        Assert.Equal(before with { Descriptors = after.Descriptors }, after);
        Assert.InRange(after.Descriptors, 0, before.Descriptors + 4);
    }

    /// <summary>R1, R2, R10 and the private pages of an idle sandbox, on 100 sandboxes of one golden snapshot.</summary>
    [SkippableFact]
    public async Task Create_100_AreUniqueOnTimeSmallAndLeaveTheGoldenAsItWas()
    {
        SandboxHost host = fixture.Host;
        string golden = SparseDigest.Compute(host.Golden.Ram.File, host.Golden.Ram.Length, null, CancellationToken.None);
        var uuids = new HashSet<string>(StringComparer.Ordinal);
        var randoms = new HashSet<string>(StringComparer.Ordinal);
        var machineIds = new HashSet<string>(StringComparer.Ordinal);
        TimeSpan worst = TimeSpan.Zero;
        bool image = host.Images.List().Count >= 2;
        for (int i = 0; i < 100; i++)
        {
            await using Sandbox sandbox = await host.CreateAsync(new SandboxSpec { Image = image ? "default" : null, Workspace = false });
            if (image)
            {
                // The clock is read between two readings of ours; the error is at most what lies outside of them.
                DateTimeOffset before = TimeProvider.System.GetUtcNow();
                ExecResult result = await sandbox.ExecAsync(
                    ["sh", "-c", "date +%s%N; cat /proc/sys/kernel/random/uuid /etc/machine-id; head -c 16 /dev/urandom | od -An -tx1"],
                    cancellationToken: ExecTests.Deadline());
                DateTimeOffset after = TimeProvider.System.GetUtcNow();
                string[] lines = result.StandardOutput.TrimEnd('\n').Split('\n');
                Assert.Equal(4, lines.Length);
                DateTimeOffset guest = DateTimeOffset.UnixEpoch.AddTicks(long.Parse(lines[0], CultureInfo.InvariantCulture) / 100);
                TimeSpan error = guest < before ? before - guest : guest > after ? guest - after : TimeSpan.Zero;
                worst = error > worst ? error : worst;
                Assert.True(uuids.Add(lines[1]), $"uuid {lines[1]} twice");
                Assert.True(machineIds.Add(lines[2]), $"machine id {lines[2]} twice");
                Assert.True(randoms.Add(lines[3]), "the same random bytes twice");
            }

            if (i % 20 == 0)
            {
                int pid = await sandbox.Machine.GetQemuPidAsync(ExecTests.Deadline());
                long idle = PrivateGuestBytes(pid, "opensandbox-golden");
                Assert.True(image || idle <= 2 << 20, $"{idle} private bytes of guest RAM in an idle sandbox");
            }
        }

        Assert.True(worst < TimeSpan.FromMilliseconds(50), $"a guest's clock was {worst.TotalMilliseconds} ms off");
        Assert.Equal(golden, SparseDigest.Compute(host.Golden.Ram.File, host.Golden.Ram.Length, null, CancellationToken.None));
        Assert.True(host.Golden.Ram.IsSealed);
    }

    [SkippableFact]
    public async Task Idle_Sandbox_HasAtMost2MiBOfPrivateGuestPages()
    {
        await using Sandbox sandbox = await fixture.Host.CreateAsync(new SandboxSpec { Image = null });
        int pid = await sandbox.Machine.GetQemuPidAsync(ExecTests.Deadline());

        long bytes = PrivateGuestBytes(pid, "opensandbox-golden");

        Assert.InRange(bytes, 1, 2 << 20);
    }

    [SkippableFact]
    public async Task Create_Cancelled_LeavesNothing()
    {
        SandboxHost host = fixture.HostWithImage;
        await OneAsync(host, 0);
        Leaks before = Leaks.Now(host);
        for (int delay = 0; delay < 200; delay += 10)
        {
            using var cancel = new CancellationTokenSource(TimeSpan.FromMilliseconds(delay));
            try
            {
                await using Sandbox sandbox = await host.CreateAsync(cancellationToken: cancel.Token);
            }
            catch (OperationCanceledException cancelled)
            {
                Assert.Equal(cancel.Token, cancelled.CancellationToken);
            }
        }

        Leaks after = Leaks.Now(host);
        Assert.Equal(before with { Descriptors = after.Descriptors }, after);
        Assert.InRange(after.Descriptors, 0, before.Descriptors + 4);
    }

    [SkippableFact]
    public async Task QemuKilled_IsReportedWithinASecond()
    {
        await using Sandbox sandbox = await fixture.Host.CreateAsync(new SandboxSpec { Image = null });
        await using Sandbox other = await fixture.Host.CreateAsync(new SandboxSpec { Image = null });
        int pid = await sandbox.Machine.GetQemuPidAsync(ExecTests.Deadline());
        long started = TimeProvider.System.GetTimestamp();
        Assert.Equal(0, Kill(pid, 9));

        SandboxExit exit = await sandbox.Stopped.WaitAsync(TimeSpan.FromSeconds(10));

        Assert.True(TimeProvider.System.GetElapsedTime(started) < TimeSpan.FromSeconds(1));
        Assert.Equal(SandboxExitReason.VmmEnded, exit.Reason);
        Assert.Contains("signal 9", exit.Description, StringComparison.Ordinal);
        Assert.Equal(SandboxState.Stopped, sandbox.State);
        await other.PingAsync(ExecTests.Deadline());
    }

    [SkippableFact]
    public async Task Dispose_WithCommandsRunning_EndsThemAllWithTheReason()
    {
        Sandbox sandbox = await fixture.HostWithImage.CreateAsync();
        Task<ExecResult>[] running = [.. Enumerable.Range(0, 5).Select(_ => sandbox.ExecAsync(["sleep", "1000"], cancellationToken: ExecTests.Deadline()))];
        await sandbox.PingAsync();

        await Task.WhenAll(sandbox.DisposeAsync().AsTask(), sandbox.DisposeAsync().AsTask());

        foreach (Task<ExecResult> command in running)
        {
            SandboxLostException lost = await Assert.ThrowsAsync<SandboxLostException>(() => command);
            Assert.Equal(SandboxExitReason.Destroyed, lost.Exit.Reason);
        }

        await Assert.ThrowsAnyAsync<SandboxException>(() => sandbox.ExecAsync(["true"]));
        await Assert.ThrowsAnyAsync<SandboxException>(() => sandbox.Files.StatAsync("/"));
    }

    [SkippableFact]
    public async Task HostDispose_DuringCreates_EndsThemAllAndItself()
    {
        _ = fixture.Host;
        for (int round = 0; round < 5; round++)
        {
            SandboxHost host = await SandboxHost.StartAsync(HostFixture.Options);
            int children = Leaks.CountDescendants(Environment.ProcessId);
            Task<Sandbox>[] creates = [.. Enumerable.Range(0, 4).Select(_ => host.CreateAsync(new SandboxSpec { Image = null }))];
            Task closing = host.DisposeAsync().AsTask();

            await closing.WaitAsync(TimeSpan.FromSeconds(30));

            foreach (Task<Sandbox> create in creates)
            {
                Exception? failure = await Record.ExceptionAsync(() => create.WaitAsync(TimeSpan.FromSeconds(10)));
                Assert.True(failure is null or ObjectDisposedException or SandboxException, $"{failure}");
            }

            Assert.InRange(Leaks.CountDescendants(Environment.ProcessId), 0, children);
            await Assert.ThrowsAsync<ObjectDisposedException>(() => host.CreateAsync(new SandboxSpec { Image = null }));
        }
    }

    [SkippableFact]
    public async Task IsolationNone_AsRoot_StillDropsItsUid()
    {
        _ = fixture.Host;
        await using SandboxHost host = await SandboxHost.StartAsync(HostFixture.Options with { Isolation = IsolationLevel.None });
        await using Sandbox sandbox = await host.CreateAsync(new SandboxSpec { Image = null });
        int pid = await sandbox.Machine.GetQemuPidAsync(ExecTests.Deadline());

        Assert.Equal(0, (await sandbox.ExecAsync(["/bin/true"], cancellationToken: ExecTests.Deadline())).ExitCode);
        string status = await File.ReadAllTextAsync($"/proc/{pid}/status");
        Assert.DoesNotContain("Uid:\t0\t", status, StringComparison.Ordinal);
        Assert.Contains("Seccomp:\t2", status, StringComparison.Ordinal);
    }

    /// <summary>A host disk that is full stops the guest, and nothing is lost: it goes on when there is room.</summary>
    [SkippableFact]
    public async Task HostDiskFull_GuestWaitsAndGoesOn()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "mounting a small tmpfs needs root");
        SandboxHost shared = fixture.HostWithImage;
        string disks = Path.Combine(HostFixture.Options.StateDirectory, "disks");
        await Mount("-t", "tmpfs", "-o", "size=64m", "tmpfs", disks);
        try
        {
            await using Sandbox sandbox = await shared.CreateAsync();
            Task<ExecResult> writing = sandbox.ExecAsync(
                ["sh", "-c", "head -c 150000000 /dev/urandom > /workspace/big && sync && sha256sum < /workspace/big && echo 3 | sudo tee /proc/sys/vm/drop_caches && sha256sum < /workspace/big"],
                cancellationToken: ExecTests.Deadline(180));
            await ExecTests.UntilAsync(() => Task.FromResult(fixture.Log.Entries.Any(entry => entry.EventId == 4011 && entry.Message.Contains(sandbox.Id, StringComparison.Ordinal))));
            Assert.False(writing.IsCompleted);

            await Mount("-o", "remount,size=512m", disks);

            string[] lines = (await writing).EnsureSuccess().StandardOutput.Split('\n', StringSplitOptions.RemoveEmptyEntries);
            Assert.Equal(lines[0], lines[2]);
        }
        finally
        {
            using var unmount = System.Diagnostics.Process.Start("umount", ["-l", disks]);
            await unmount.WaitForExitAsync(ExecTests.Deadline(20));
        }

        static async Task Mount(params string[] arguments)
        {
            using var mount = System.Diagnostics.Process.Start("mount", arguments);
            await mount.WaitForExitAsync(ExecTests.Deadline(20));
            Assert.Equal(0, mount.ExitCode);
        }
    }

    private static async Task OneAsync(SandboxHost host, int number)
    {
        await using Sandbox sandbox = await host.CreateAsync(cancellationToken: ExecTests.Deadline());
        ExecResult result = await sandbox.ExecAsync(["echo", $"{number}"], cancellationToken: ExecTests.Deadline());
        Assert.Equal($"{number}\n", result.StandardOutput);
        Assert.Equal(0, result.ExitCode);
    }

    /// <summary>
    /// Pages of a mapping that are the process's own: present or swapped (bits 63, 62) and not of the mapped file (bit 61). Format:
    /// the kernel's Documentation/admin-guide/mm/pagemap.rst.
    /// </summary>
    private static long PrivateGuestBytes(int pid, string mapping)
    {
        const int pageSize = 4_096;
        long pages = 0;
        using FileStream map = File.OpenRead($"/proc/{pid}/pagemap");
        foreach (string line in File.ReadLines($"/proc/{pid}/maps").Where(line => line.Contains(mapping, StringComparison.Ordinal)))
        {
            string[] range = line[..line.IndexOf(' ', StringComparison.Ordinal)].Split('-');
            long start = long.Parse(range[0], NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            long end = long.Parse(range[1], NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            byte[] entries = new byte[(end - start) / pageSize * sizeof(ulong)];
            map.Position = start / pageSize * sizeof(ulong);
            map.ReadExactly(entries);
            foreach (ulong entry in MemoryMarshal.Cast<byte, ulong>(entries))
            {
                pages += entry >> 62 != 0 && (entry >> 61 & 1) == 0 ? 1 : 0;
            }
        }

        return pages * pageSize;
    }

    [DllImport("libc", EntryPoint = "kill", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    internal static extern int Kill(int pid, int signal);
}
