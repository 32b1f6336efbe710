using System.Net.Sockets;
using OpenSandbox.DetachedHost;
using OpenSandbox.Interop;
using OpenSandbox.Qmp;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Processes;
using OpenSandbox.Vmm.Qemu;

namespace OpenSandbox.Integration.Tests;

/// <summary>Detached VMs within one host process: released, adopted, refused, ended, swept.</summary>
[Collection(HostFixture.Collection)]
public sealed class DetachedTests(HostFixture fixture)
{
    private static readonly SandboxSpec s_empty = new() { Image = null };
    private static readonly SandboxSpec s_default = new();

    [SkippableFact]
    public async Task ReleaseAndAdopt_ProcessWithARing_GoesOnAndLosesNothing()
    {
        SandboxHost host = fixture.HostWithImage;
        string id = NewId();
        VmRecord record;
        DetachedGuest first = await DetachedGuest.StartAsync(host, s_default, id, Deadline());
        string process;
        try
        {
            record = await first.Vm.GetRecordAsync(Deadline());
            await using GuestStream counter = first.Open(new OpenRequest
            {
                Op = Operations.Start,
                Start = new ProcessStartRequest
                {
                    // A line at a time, before, during and after the change of hosts; it ends when it is told to.
                    Command = new ExecRequest { Argv = ["sh", "-c", "i=0; until [ -e /tmp/enough ]; do i=$((i+1)); echo line $i; sleep 0.01; done; echo end $i; exit 7"] },
                    Detached = true,
                    RingBytes = 1 << 20,
                },
            });
            process = (await counter.GetStartedAsync(Deadline()))!.Process!.Id;
            Assert.False((await counter.ReadAsync(Deadline())).IsEnd);
        }
        finally
        {
            await first.Vm.ReleaseAsync();
        }

        Assert.True(IsRunning(record));
        await using DetachedGuest second = await DetachedGuest.AdoptAsync(host, s_default, id, record, Deadline());
        Assert.Equal(record.QemuPid, await second.Vm.GetQemuPidAsync(Deadline()));
        Assert.Equal(record, await second.Vm.GetRecordAsync(Deadline()));
        Assert.Equal((0, "42\n"), await second.ExecAsync(["sh", "-c", "echo 42"], Deadline()));
        await using GuestStream again = second.Open(new OpenRequest { Op = Operations.Attach, Process = new ProcessRequest { Id = process, From = 0 } });
        Assert.Equal(0, (await again.GetStartedAsync(Deadline()))!.Process!.Sequence);
        Assert.Equal((0, ""), await second.ExecAsync(["touch", "/tmp/enough"], Deadline()));
        string[] lines = (await DetachedGuest.ReadAsync(again, Deadline())).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(7, (await again.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage, Deadline())).ExitCode);
        Assert.Equal([.. Enumerable.Range(1, lines.Length - 1).Select(static i => $"line {i}"), $"end {lines.Length - 1}"], lines);
        Assert.DoesNotContain("waiting for connection", first.Vm.StandardErrorTail, StringComparison.Ordinal);
        Assert.Equal("running", (await (await second.Vm.GetQmpAsync()).QueryStatusAsync(Deadline())).Status);
    }

    [SkippableFact]
    public async Task StartReleaseAdoptEnd_ManyTimes_LeaksNothing()
    {
        SandboxHost host = fixture.Host;
        await RoundAsync();
        Leaks before = Leaks.Now(host);
        for (int i = 0; i < 5; i++)
        {
            await RoundAsync();
        }

        // A child that has been let go of is reaped when its end has been seen, which is not waited for.
        await ExecTests.UntilAsync(() => Task.FromResult(Leaks.Now(host) with { Descriptors = 0 } == before with { Descriptors = 0 }));
        Assert.InRange(Leaks.Now(host).Descriptors, 0, before.Descriptors + 4);
        Assert.Empty(VmRuntimeDirectory.List(host.Options.RuntimeDirectory));

        async Task RoundAsync()
        {
            string id = NewId();
            DetachedGuest guest = await DetachedGuest.StartAsync(host, s_empty, id, Deadline());
            VmRecord record = await guest.Vm.GetRecordAsync(Deadline());
            for (int i = 0; i < 3; i++)
            {
                await guest.Vm.ReleaseAsync();
                guest = await DetachedGuest.AdoptAsync(host, s_empty, id, record, Deadline());
            }

            await guest.DisposeAsync();
            Assert.False(IsRunning(record));
            Assert.False(Directory.Exists(record.RuntimeDirectory));
        }
    }

    [SkippableFact]
    public async Task Dispose_WithoutRelease_EndsItAndFreesItsUid()
    {
        SandboxHost host = fixture.Host;
        Skip.IfNot(Libc.GetEffectiveUserId() == 0, "uids are root's to give");
        string id = NewId();
        DetachedGuest guest = await DetachedGuest.StartAsync(host, s_empty, id, Deadline());
        VmRecord record = await guest.Vm.GetRecordAsync(Deadline());
        await guest.Vm.ReleaseAsync();

        // Only the launcher has the lock now: no host on this machine may hand the uid out.
        Assert.False(CanLock(host, record.Uid));
        await using (DetachedGuest adopted = await DetachedGuest.AdoptAsync(host, s_empty, id, record, Deadline()))
        {
            Assert.False(CanLock(host, record.Uid));
        }

        Assert.True(CanLock(host, record.Uid));
    }

    [SkippableFact]
    public async Task Adopt_WhileAHostIsConnected_IsRefusedAndDisturbsNothing()
    {
        SandboxHost host = fixture.Host;
        string id = NewId();
        await using DetachedGuest guest = await DetachedGuest.StartAsync(host, s_empty, id, Deadline());
        VmRecord record = await guest.Vm.GetRecordAsync(Deadline());

        VmAdoptionException refused = await Assert.ThrowsAsync<VmAdoptionException>(
            () => VirtualMachine.AdoptAsync(host.Context, id, record, Deadline()));
        Assert.Equal(VmAdoptionFailure.InUse, refused.Failure);
        Assert.False(await VmSweeper.SweepAsync(host.Context, record.RuntimeDirectory, Deadline()));

        // Nor does QEMU talk to a second one that has come past the lock.
        using (Socket socket = UnixSocketPath.Connect(Path.Combine(record.RuntimeDirectory, VmRuntimeDirectory.QmpSocket)))
        {
            await Assert.ThrowsAsync<QmpTimeoutException>(() => QmpClient.ConnectAsync(
                socket, new QmpClientOptions { ConnectTimeout = TimeSpan.FromSeconds(1) }, null, Deadline()));
        }

        Assert.Equal(0, (await guest.ExecAsync(["/bin/true"], Deadline())).ExitCode);
        await guest.Vm.ReleaseAsync();
        await using DetachedGuest next = await DetachedGuest.AdoptAsync(host, s_empty, id, record, Deadline());
        Assert.Equal(0, (await next.ExecAsync(["/bin/true"], Deadline())).ExitCode);
    }

    [SkippableFact]
    public async Task Adopt_RecordOfSomethingElse_IsRefusedWithTheReason()
    {
        SandboxHost host = fixture.Host;
        string id = NewId();
        DetachedGuest guest = await DetachedGuest.StartAsync(host, s_empty, id, Deadline());
        VmRecord record = await guest.Vm.GetRecordAsync(Deadline());
        await guest.Vm.ReleaseAsync();

        await RefusedAsync(VmAdoptionFailure.OtherBoot, "boot", record with { BootId = Guid.NewGuid().ToString() });
        await RefusedAsync(VmAdoptionFailure.InvalidRecord, "nonce", record with { Nonce = "x" });
        await RefusedAsync(VmAdoptionFailure.Unreachable, "no /run/nowhere", record with { RuntimeDirectory = "/run/nowhere" });
        File.Move(Path.Combine(record.RuntimeDirectory, "bulk"), Path.Combine(record.RuntimeDirectory, "elsewhere"));
        await RefusedAsync(VmAdoptionFailure.Unreachable, "cannot be connected to", record);
        File.Move(Path.Combine(record.RuntimeDirectory, "elsewhere"), Path.Combine(record.RuntimeDirectory, "bulk"));
        Assert.True(IsRunning(record));

        await (await DetachedGuest.AdoptAsync(host, s_empty, id, record, Deadline())).DisposeAsync();
        await RefusedAsync(VmAdoptionFailure.Gone, "has ended", record);

        async Task RefusedAsync(VmAdoptionFailure failure, string text, VmRecord wrong)
        {
            VmAdoptionException refused = await Assert.ThrowsAsync<VmAdoptionException>(
                () => VirtualMachine.AdoptAsync(host.Context, id, wrong, Deadline()));
            Assert.Equal(failure, refused.Failure);
            Assert.Contains(text, refused.Message, StringComparison.Ordinal);
        }
    }

    [SkippableFact]
    public async Task AdoptAndSweep_NumbersOfOtherVms_NeverTouchThem()
    {
        SandboxHost host = fixture.Host;
        DetachedGuest decoy = await DetachedGuest.StartAsync(host, s_empty, NewId(), Deadline());
        await using DetachedGuest victim = decoy;
        VmRecord record = await decoy.Vm.GetRecordAsync(Deadline());

        // The numbers have been used again, even at the same tick: by another VM, the most alike there is.
        VmRecord stale = record with { Nonce = VmDetachment.NewNonce(), RuntimeDirectory = record.RuntimeDirectory + "-stale" };
        VmAdoptionException refused = await Assert.ThrowsAsync<VmAdoptionException>(
            () => VirtualMachine.AdoptAsync(host.Context, "stale", stale, Deadline()));
        Assert.Equal(VmAdoptionFailure.Stranger, refused.Failure);
        VmRecord older = record with { LauncherStartTicks = record.LauncherStartTicks - 1, QemuStartTicks = record.QemuStartTicks - 1 };
        refused = await Assert.ThrowsAsync<VmAdoptionException>(() => VirtualMachine.AdoptAsync(host.Context, "older", older, Deadline()));
        Assert.Equal(VmAdoptionFailure.Stranger, refused.Failure);
        using (VmRuntimeDirectory left = VmRuntimeDirectory.Create(stale.RuntimeDirectory))
        {
            left.WriteRecord(stale);
        }

        Assert.True(await VmSweeper.SweepAsync(host.Context, stale.RuntimeDirectory, Deadline()));

        Assert.False(Directory.Exists(stale.RuntimeDirectory));
        Assert.Equal(0, (await victim.ExecAsync(["/bin/true"], Deadline())).ExitCode);
    }

    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task HalfOfItKilled_WithoutAHost_IsGoneAndIsSwept(bool launcher)
    {
        SandboxHost host = fixture.Host;
        string id = NewId();
        DetachedGuest guest = await DetachedGuest.StartAsync(host, s_empty, id, Deadline());
        VmRecord record = await guest.Vm.GetRecordAsync(Deadline());
        await guest.Vm.ReleaseAsync();
        Assert.Equal(0, LifecycleTests.Kill(launcher ? record.LauncherPid : record.QemuPid, 9));

        VmAdoptionException gone = await Assert.ThrowsAsync<VmAdoptionException>(
            () => VirtualMachine.AdoptAsync(host.Context, id, record, Deadline()));

        Assert.Equal(VmAdoptionFailure.Gone, gone.Failure);
        await ExecTests.UntilAsync(() => Task.FromResult(!IsRunning(record)));
        Assert.True(await VmSweeper.SweepAsync(host.Context, record.RuntimeDirectory, Deadline()));
        Assert.False(Directory.Exists(record.RuntimeDirectory));
        Assert.True(await VmSweeper.SweepAsync(host.Context, record.RuntimeDirectory, Deadline()));
    }

    [SkippableFact]
    public async Task Sweep_RunningVmWithoutAHost_EndsIt()
    {
        SandboxHost host = fixture.Host;
        DetachedGuest guest = await DetachedGuest.StartAsync(host, s_empty, NewId(), Deadline());
        VmRecord record = await guest.Vm.GetRecordAsync(Deadline());
        await guest.Vm.ReleaseAsync();

        Assert.True(await VmSweeper.SweepAsync(host.Context, record.RuntimeDirectory, Deadline()));

        Assert.False(IsRunning(record));
        Assert.False(Directory.Exists(record.RuntimeDirectory));
    }

    [SkippableTheory]
    [InlineData(true, SandboxExitReason.VmmEnded, "how is not known")]
    [InlineData(false, SandboxExitReason.GuestEnded, "guest shut down")]
    public async Task AdoptedVm_Ends_IsNoticedAndDescribed(bool killed, SandboxExitReason reason, string text)
    {
        SandboxHost host = fixture.HostWithImage;
        string id = NewId();
        DetachedGuest guest = await DetachedGuest.StartAsync(host, s_default, id, Deadline());
        VmRecord record = await guest.Vm.GetRecordAsync(Deadline());
        await guest.Vm.ReleaseAsync();
        await using DetachedGuest adopted = await DetachedGuest.AdoptAsync(host, s_default, id, record, Deadline());

        if (killed)
        {
            Assert.Equal(0, LifecycleTests.Kill(record.QemuPid, 9));
        }
        else
        {
            await using GuestStream panic = adopted.Open(new OpenRequest
            {
                Op = Operations.Exec,
                Exec = new ExecRequest { Argv = ["sh", "-c", "echo c >/proc/sysrq-trigger"], User = "root" },
            });
            await adopted.Vm.Exited.WaitAsync(Deadline(20));
        }

        await adopted.Vm.Exited.WaitAsync(Deadline(20));
        SandboxExit exit = await adopted.Vm.DescribeExitAsync();
        Assert.Equal(reason, exit.Reason);
        Assert.Contains(text, exit.Description, StringComparison.Ordinal);
        await adopted.DisposeAsync();
        Assert.False(Directory.Exists(record.RuntimeDirectory));
    }

    [SkippableFact]
    public async Task Flood_OfConsoleAndMessagesWithoutAHost_HangsNeitherGuestNorQemu()
    {
        SandboxHost host = fixture.HostWithImage;
        string id = NewId();
        DetachedGuest guest = await DetachedGuest.StartAsync(host, s_default, id, Deadline());
        VmRecord record = await guest.Vm.GetRecordAsync(Deadline());
        Assert.NotEqual(0, SignalsIgnored(record.QemuPid) & (1L << (Signals.Pipe - 1)));
        await using (GuestStream flood = guest.Open(new OpenRequest
        {
            Op = Operations.Start,
            Start = new ProcessStartRequest
            {
                Command = new ExecRequest { Argv = ["sh", "-c", "exec yes flooding >/dev/ttyS0"], User = "root" },
                Detached = true,
            },
        }))
        {
            await flood.GetStartedAsync(Deadline());
            await ExecTests.UntilAsync(() => Task.FromResult(guest.Vm.ConsoleTail.Contains("flooding", StringComparison.Ordinal)));

            // QEMU itself prints a line for every block of code that it runs from here on.
            QmpClient qmp = await guest.Vm.GetQmpAsync();
            await qmp.ExecuteAsync("human-monitor-command", """{"command-line":"log exec,nochain"}"""u8.ToArray(), cancellationToken: Deadline());
            await ExecTests.UntilAsync(() => Task.FromResult(guest.Vm.StandardErrorTail.Contains("Trace ", StringComparison.Ordinal)));
        }

        await guest.Vm.ReleaseAsync();
        long before = CpuTicks(record.QemuPid);
        await ExecTests.UntilAsync(() => Task.FromResult(CpuTicks(record.QemuPid) > before + 200)); // two seconds of it

        await using DetachedGuest adopted = await DetachedGuest.AdoptAsync(host, s_default, id, record, Deadline());
        Assert.Equal("", adopted.Vm.StandardErrorTail);
        Assert.Equal((0, "42\n"), await adopted.ExecAsync(["sh", "-c", "echo 42"], Deadline()));
        await ExecTests.UntilAsync(() => Task.FromResult(adopted.Vm.ConsoleTail.Contains("flooding", StringComparison.Ordinal)));
    }

    [SkippableFact]
    public async Task Start_LauncherFails_IsNotDetachedAndLeavesNothing()
    {
        SandboxHost host = fixture.Host;
        string id = NewId();
        VmShape shape = host.Golden.Shape;
        VirtualMachine vm = await VirtualMachine.StartAsync(host.Context, new VmLaunch(
            id,
            shape,
            host.Golden.Ram.File,
            static (_, channels) => ["/usr/bin/no-such-qemu", "-name", channels.DetachedName!],
            new VmDetachment(DetachedGuest.DirectoryOf(host, id), VmDetachment.NewNonce())));

        SandboxStartException failure = await Assert.ThrowsAsync<SandboxStartException>(() => vm.GetRecordAsync(Deadline()));

        Assert.Contains("no-such-qemu", failure.Message, StringComparison.Ordinal);
        await vm.ReleaseAsync();
        Assert.False(Directory.Exists(DetachedGuest.DirectoryOf(host, id)));
    }

    internal static CancellationToken Deadline(int seconds = 120) => ExecTests.Deadline(seconds);

    internal static string NewId() => $"dt-{Guid.NewGuid().ToString("N")[..8]}";

    /// <summary>Whether one of the two processes is there and is not another's.</summary>
    internal static bool IsRunning(VmRecord record) =>
        ProcessFacts.Read(record.LauncherPid) is { HasEnded: false } launcher && launcher.StartTicks == record.LauncherStartTicks
        || ProcessFacts.Read(record.QemuPid) is { HasEnded: false } qemu && qemu.StartTicks == record.QemuStartTicks;

    internal static bool CanLock(SandboxHost host, int uid)
    {
        using var file = Libc.Open(Path.Combine(host.Options.RuntimeDirectory, "uids", $"{uid}"), Libc.O_RDWR | Libc.O_CLOEXEC, 0);
        Assert.False(file.IsInvalid);
        return Libc.FLock(file, Libc.LOCK_EX | Libc.LOCK_NB) == 0;
    }

    private static long SignalsIgnored(int pid) => Convert.ToInt64(
        File.ReadLines($"/proc/{pid}/status").Single(static line => line.StartsWith("SigIgn:", StringComparison.Ordinal)).Split('\t')[1], 16);

    private static long CpuTicks(int pid)
    {
        string stat = File.ReadAllText($"/proc/{pid}/stat");
        string[] fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
        return long.Parse(fields[11], System.Globalization.CultureInfo.InvariantCulture) + long.Parse(fields[12], System.Globalization.CultureInfo.InvariantCulture);
    }

    private static class Signals
    {
        internal const int Pipe = 13;
    }
}
