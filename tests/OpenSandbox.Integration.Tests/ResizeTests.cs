using System.Globalization;

namespace OpenSandbox.Integration.Tests;

[Collection(HostFixture.Collection)]
public sealed class ResizeTests(HostFixture fixture)
{
    // Takes memory, says so, and gives it back when its input ends.
    private const string Holder = "import sys\nb=bytearray(int(sys.argv[1])<<20)\nfor i in range(0,len(b),4096): b[i]=1\nprint('held',flush=True)\nsys.stdin.read()\n";

    [SkippableFact]
    public async Task Resize_UpAndDownAroundAnAllocation_BehavesAsDocumented()
    {
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(new SandboxSpec { MemoryMib = 1_024 }, ExecTests.Deadline());

        SandboxLimits large = await sandbox.ResizeAsync(4_096, cancellationToken: ExecTests.Deadline(120));

        Assert.Equal(4_096, large.MemoryMib);
        Assert.Equal(NinetyPercent(large.GuestMemoryBytes), large.MemoryMaxBytes);
        Assert.Equal(large.GuestMemoryBytes, await MemTotalAsync(sandbox));
        Assert.Equal(100 * fixture.Host.Options.VcpuCount, large.CpuPercent);
        Assert.InRange(await MemTotalAsync(sandbox), 3_900L << 20, 4_096L << 20);
        Assert.Equal(large.MemoryMaxBytes, await NumberAsync(sandbox, "memory.max"));

        SandboxProcess holder = await sandbox.StartAsync(["python3", "-c", Holder, "2048"], cancellationToken: ExecTests.Deadline());
        await using (holder)
        {
            Assert.Equal("held\n", await ReadSomeAsync(holder));

            SandboxMemoryInUseException refused = await Assert.ThrowsAsync<SandboxMemoryInUseException>(
                () => sandbox.ResizeAsync(1_024, cancellationToken: ExecTests.Deadline(120)));
            Assert.InRange(refused.InUseMib, 2_048, 2_300);
            Assert.InRange(refused.ShortfallMib, 2_048 - 922, 2_300 - 800);
            Assert.InRange(refused.NeededMib, 2_304, 2_688);
            Assert.Equal(1_024, refused.RequestedMib);
            Assert.Equal(large with { MemoryInUseBytes = 0 }, sandbox.Limits with { MemoryInUseBytes = 0 });
            Assert.Equal(large.MemoryMaxBytes, await NumberAsync(sandbox, "memory.max"));
            Assert.Equal(SandboxErrorCode.MemoryInUse, refused.Code);
            await holder.CompleteInputAsync(ExecTests.Deadline());
            Assert.Equal(0, (await holder.WaitAsync(ExecTests.Deadline(120))).ExitCode);
        }

        SandboxLimits small = await sandbox.ResizeAsync(1_024, cancellationToken: ExecTests.Deadline(120));

        Assert.Equal(1_024, small.MemoryMib);
        Assert.Equal(100, small.CpuPercent);
        Assert.InRange(await MemTotalAsync(sandbox), 900L << 20, 1_024L << 20);
        Assert.Equal(NinetyPercent(await MemTotalAsync(sandbox)), await NumberAsync(sandbox, "memory.max"));
        ExecResult killed = await sandbox.ExecAsync(["python3", "-c", Holder, "900"], cancellationToken: ExecTests.Deadline(120));
        Assert.True(killed.Exit.OutOfMemory);
    }

    [SkippableFact]
    public async Task Resize_BelowTheGoldensMemory_IsALimitOnProcesses()
    {
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(cancellationToken: ExecTests.Deadline());
        long before = await MemTotalAsync(sandbox);

        SandboxLimits limits = await sandbox.ResizeAsync(256, cancellationToken: ExecTests.Deadline());

        Assert.Equal((256, 25), (limits.MemoryMib, limits.CpuPercent));
        Assert.Equal(NinetyPercent(256L << 20), limits.MemoryMaxBytes);
        Assert.Equal(limits.MemoryMaxBytes, await NumberAsync(sandbox, "memory.max"));
        Assert.Equal(before, await MemTotalAsync(sandbox));
        Assert.Equal("25000 100000\n", await sandbox.Files.ReadAllTextAsync("/sys/fs/cgroup/sandbox/cpu.max", ExecTests.Deadline()));
        Assert.True((await sandbox.ExecAsync(["python3", "-c", Holder, "300"], cancellationToken: ExecTests.Deadline())).Exit.OutOfMemory);
    }

    [SkippableFact]
    public async Task Resize_OnlyCpuOrProcesses_LeavesTheRest()
    {
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(cancellationToken: ExecTests.Deadline());
        SandboxLimits before = await sandbox.GetLimitsAsync(ExecTests.Deadline());

        SandboxLimits limits = await sandbox.ResizeAsync(new SandboxResize { CpuPercent = 70, PidsMax = 40 }, ExecTests.Deadline());

        Assert.Equal(before with { CpuPercent = 70, PidsMax = 40 }, limits with { MemoryInUseBytes = before.MemoryInUseBytes });
        Assert.Equal(40, await NumberAsync(sandbox, "pids.max"));
        Assert.Equal(sandbox.Limits, limits);
        ExecResult many = await sandbox.ExecAsync(["sh", "-c", "for i in $(seq 60); do sleep 30 & done"], cancellationToken: ExecTests.Deadline());
        Assert.Contains("fork", many.StandardError, StringComparison.OrdinalIgnoreCase);
    }

    [SkippableFact]
    public async Task Resize_ManyAtOnce_AreCarriedOutOneAfterTheOther()
    {
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(cancellationToken: ExecTests.Deadline());
        int[] sizes = [1_024, 640, 2_048, 256, 1_152, 512, 896];

        SandboxLimits[] results = await Task.WhenAll(sizes.Select(size => sandbox.ResizeAsync(size, cancellationToken: ExecTests.Deadline(240))));

        Assert.Equal(sizes, results.Select(static limits => limits.MemoryMib));
        SandboxLimits last = sandbox.Limits;
        Assert.Contains(last.MemoryMib, sizes);
        Assert.Equal(last.GuestMemoryBytes, await MemTotalAsync(sandbox));
        Assert.Equal(last.MemoryMaxBytes, await NumberAsync(sandbox, "memory.max"));
    }

    [SkippableFact]
    public async Task Resize_ShrinkWithTheCacheFull_DropsTheCacheAndSucceeds()
    {
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(new SandboxSpec { MemoryMib = 2_048 }, ExecTests.Deadline());
        (await sandbox.ExecAsync(
            ["sh", "-c", "head -c 1200000000 /dev/zero > /workspace/big && sync && cat /workspace/big > /dev/null"],
            cancellationToken: ExecTests.Deadline(240))).EnsureSuccess();

        SandboxLimits limits = await sandbox.ResizeAsync(512, cancellationToken: ExecTests.Deadline(240));

        Assert.Equal(512, limits.MemoryMib);
        Assert.Equal("1200000000\n", (await sandbox.ExecAsync(["stat", "-c", "%s", "/workspace/big"], cancellationToken: ExecTests.Deadline())).StandardOutput);
    }

    [SkippableFact]
    public async Task Resize_GuestCannotLetGo_SaysHowFarItCameAndStaysUsable()
    {
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(new SandboxSpec { MemoryMib = 1_024 }, ExecTests.Deadline());

        // Root in the guest stops the kernel from taking blocks back: memory that is pinned has the same effect.
        (await sandbox.ExecAsync(
            ["sh", "-c", "for b in /sys/bus/virtio/drivers/virtio_mem/virtio*; do basename $b > /sys/bus/virtio/drivers/virtio_mem/unbind || true; done; true"],
            new ExecOptions { User = "root" },
            ExecTests.Deadline(60))).EnsureSuccess();

        SandboxResizeException partly = await Assert.ThrowsAsync<SandboxResizeException>(
            () => sandbox.ResizeAsync(512, cancellationToken: ExecTests.Deadline(120)));

        Assert.Equal(512, partly.RequestedMib);
        Assert.Equal(1_024, partly.Limits.MemoryMib);
        Assert.Equal(sandbox.Limits, partly.Limits);
        Assert.Equal(partly.Limits.MemoryMaxBytes, await NumberAsync(sandbox, "memory.max"));
        Assert.Equal(NinetyPercent(await MemTotalAsync(sandbox)), partly.Limits.MemoryMaxBytes);
        Assert.Equal("ok\n", (await sandbox.ExecAsync(["echo", "ok"], cancellationToken: ExecTests.Deadline())).StandardOutput);
    }

    [SkippableFact]
    public async Task Resize_MoreThanTheHostHas_IsRefusedAndChangesNothing()
    {
        Skip.If(fixture.Host.Accelerator != "tcg", "a host of its own would have to find out about KVM first");
        string state = Directory.CreateTempSubdirectory("opensandbox-resize-").FullName;
        try
        {
            await using SandboxHost host = await SandboxHost.StartAsync(
                HostFixture.Options with { MaxMemoryMib = 262_144, StateDirectory = state, Accelerator = AcceleratorChoice.Tcg });
            await using Sandbox sandbox = await host.CreateAsync(new SandboxSpec { Image = null }, ExecTests.Deadline());
            SandboxLimits before = sandbox.Limits;

            await Assert.ThrowsAsync<SandboxCapacityException>(() => sandbox.ResizeAsync(262_144, cancellationToken: ExecTests.Deadline()));

            Assert.Equal(before, sandbox.Limits);
            Assert.Equal(768, (await sandbox.ResizeAsync(768, cancellationToken: ExecTests.Deadline())).MemoryMib);
        }
        finally
        {
            Directory.Delete(state, recursive: true);
        }
    }

    [SkippableFact]
    public async Task Resize_CancelledBeforeItsTurn_ChangesNothing()
    {
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(cancellationToken: ExecTests.Deadline());
        using var cancelled = new CancellationTokenSource();
        await cancelled.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sandbox.ResizeAsync(1_024, cancellationToken: cancelled.Token));

        Assert.Equal(512, sandbox.Limits.MemoryMib);
        Assert.Throws<ArgumentException>(() => { _ = sandbox.ResizeAsync(1_000); });
    }

    [SkippableFact]
    public async Task GuestScale_WithinItsBounds_IsCarriedOutAndElseRefused()
    {
        await using Sandbox allowed = await fixture.HostWithImage.CreateAsync(new SandboxSpec { MaxGuestScaleMib = 1_024 }, ExecTests.Deadline());
        await using Sandbox plain = await fixture.HostWithImage.CreateAsync(cancellationToken: ExecTests.Deadline());

        GuestScaleReply done = await allowed.HandleScaleRequestAsync(1_000, 150, ExecTests.Deadline());
        GuestScaleReply tooMuch = await allowed.HandleScaleRequestAsync(1_025, null, ExecTests.Deadline());
        GuestScaleReply refused = await plain.HandleScaleRequestAsync(1_024, null, ExecTests.Deadline());

        Assert.Equal((1_024, 150), (done.Limits!.MemoryMib, done.Limits.CpuPercent));
        Assert.Equal((GuestScaleRefusal.Invalid, true), (tooMuch.Refusal, tooMuch.Text.Contains("1024", StringComparison.Ordinal)));
        Assert.Equal(GuestScaleRefusal.NotAllowed, refused.Refusal);
        Assert.Equal(512, plain.Limits.MemoryMib);
    }

    [SkippableFact]
    public async Task GuestScale_WhileAnotherIsCarriedOut_IsRefusedAtOnce()
    {
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(new SandboxSpec { MaxGuestScaleMib = 2_048 }, ExecTests.Deadline());

        Task<GuestScaleReply> first = sandbox.HandleScaleRequestAsync(1_024, null, ExecTests.Deadline(120));
        GuestScaleReply second = await sandbox.HandleScaleRequestAsync(2_048, null, ExecTests.Deadline());

        Assert.Equal((GuestScaleRefusal.Failed, "another request is being carried out"), (second.Refusal, second.Text));
        Assert.Equal(1_024, (await first).Limits!.MemoryMib);
        Assert.Equal(512, (await sandbox.HandleScaleRequestAsync(512, null, ExecTests.Deadline(120))).Limits!.MemoryMib);
    }

    [SkippableFact]
    public async Task GuestScale_ProgramThatAskedIsGone_TheNextOneWaitsForTheHost()
    {
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(new SandboxSpec { MaxGuestScaleMib = 2_048 }, ExecTests.Deadline());
        const string asker = """
            import socket, struct
            def ask(mb):
                s = socket.create_connection(('169.254.169.254', 80))
                body = b'{"memoryMB":%d}' % mb
                s.sendall(b'POST /v1/scale HTTP/1.1\r\nContent-Length: %d\r\n\r\n' % len(body) + body)
                return s
            def status(s):
                answer = b''
                while piece := s.recv(4096):
                    answer += piece
                return answer.split()[1].decode()
            first, probe = ask(2048), ask(1024)
            print(status(probe))  # so the first has been read
            first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            first.close()
            print(status(ask(1024)))
            """;

        ExecResult asked = await sandbox.ExecAsync(["python3", "-c", asker], cancellationToken: ExecTests.Deadline());

        // Each call waits for its turn behind what has begun; the first may still be on its way to the host.
        CancellationToken deadline = ExecTests.Deadline(120);
        SandboxLimits after;
        do
        {
            after = await sandbox.ResizeAsync(new SandboxResize { PidsMax = 900 }, deadline);
        }
        while (after.MemoryMib == 512);

        ExecResult again = await sandbox.ExecAsync(
            ["python3", "-c", asker[..asker.IndexOf("first, probe", StringComparison.Ordinal)] + "print(status(ask(1024)))"],
            cancellationToken: ExecTests.Deadline(120));

        Assert.Equal(("409\n409\n", ""), (asked.StandardOutput, asked.StandardError));
        Assert.Equal((2_048, 900), (after.MemoryMib, after.PidsMax));
        Assert.Equal("200\n", again.StandardOutput);
    }

    [SkippableFact]
    public async Task GuestScale_SandboxHasEnded_IsRefused()
    {
        Sandbox sandbox = await fixture.Host.CreateAsync(
            new SandboxSpec { Image = null, MaxGuestScaleMib = 1_024 }, ExecTests.Deadline());
        await sandbox.DisposeAsync();

        GuestScaleReply refused = await sandbox.HandleScaleRequestAsync(1_024, null, ExecTests.Deadline());

        Assert.Equal((GuestScaleRefusal.Failed, "the sandbox is ending"), (refused.Refusal, refused.Text));
    }

    [SkippableFact]
    public async Task Resize_GuestCannotSetTheLimit_LimitsSayWhatIsThereAndTheNextCallMakesItGood()
    {
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(cancellationToken: ExecTests.Deadline());
        SandboxLimits before = sandbox.Limits;
        SandboxProcess root = await sandbox.StartAsync(
            ["sh", "-c", "mount -o remount,ro /sys/fs/cgroup && echo ro; read x; mount -o remount,rw /sys/fs/cgroup && echo rw; read x"],
            new StartOptions { User = "root" },
            ExecTests.Deadline());
        await using (root)
        {
            Assert.Equal("ro\n", await ReadSomeAsync(root));

            await Assert.ThrowsAsync<SandboxOperationException>(() => sandbox.ResizeAsync(1_024, cancellationToken: ExecTests.Deadline(120)));

            Assert.Equal((1_024, before.MemoryMaxBytes), (sandbox.Limits.MemoryMib, sandbox.Limits.MemoryMaxBytes));
            Assert.Equal(before.MemoryMaxBytes, await NumberAsync(sandbox, "memory.max"));
            await root.WriteAsync("go\n"u8.ToArray(), ExecTests.Deadline());
            Assert.Equal("rw\n", await ReadSomeAsync(root));
        }

        SandboxLimits settled = await sandbox.ResizeAsync(new SandboxResize { CpuPercent = 50 }, ExecTests.Deadline(120));

        Assert.Equal((1_024, 50), (settled.MemoryMib, settled.CpuPercent));
        Assert.Equal(NinetyPercent(await MemTotalAsync(sandbox)), settled.MemoryMaxBytes);
        Assert.Equal(settled.MemoryMaxBytes, await NumberAsync(sandbox, "memory.max"));
        Assert.Equal(512, (await sandbox.ResizeAsync(512, cancellationToken: ExecTests.Deadline(120))).MemoryMib);
    }

    private static long NinetyPercent(long bytes) => bytes / 100 * 90 / 4_096 * 4_096;

    private static async Task<string> ReadSomeAsync(SandboxProcess process)
    {
        byte[] buffer = new byte[100];
        SandboxOutput output = await process.ReadAsync(buffer, ExecTests.Deadline(120));
        return System.Text.Encoding.UTF8.GetString(buffer, 0, output.Count);
    }

    private static async Task<long> MemTotalAsync(Sandbox sandbox)
    {
        string line = (await sandbox.Files.ReadAllTextAsync("/proc/meminfo", ExecTests.Deadline())).Split('\n')[0];
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) << 10;
    }

    private static async Task<long> NumberAsync(Sandbox sandbox, string file) => long.Parse(
        await sandbox.Files.ReadAllTextAsync("/sys/fs/cgroup/sandbox/" + file, ExecTests.Deadline()), CultureInfo.InvariantCulture);
}
