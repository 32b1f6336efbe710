using System.Globalization;
using OpenSandbox.Vmm.Isolation;
using OpenSandbox.Vmm.Processes;
using OpenSandbox.Vmm.Qemu;

namespace OpenSandbox.Integration.Tests;

/// <summary>The host's cgroups around QEMU, as far as this machine has any: v1 or v2.</summary>
[Collection(HostFixture.Collection)]
public sealed class HostCgroupTests(HostFixture fixture)
{
    [SkippableFact]
    public async Task Create_QemuIsInACgroupOfItsOwn_ThatGoesWithIt()
    {
        RequireMemoryLimit();
        string memory, pids;
        await using (Sandbox sandbox = await fixture.Host.CreateAsync(new SandboxSpec { Image = null }, ExecTests.Deadline()))
        {
            int pid = await sandbox.Machine.GetQemuPidAsync(ExecTests.Deadline());
            memory = DirectoryOf(sandbox, IsolationControl.MemoryLimit);
            pids = DirectoryOf(sandbox, IsolationControl.ProcessLimit);

            Assert.Equal([$"{pid}"], await File.ReadAllLinesAsync(Path.Combine(memory, "cgroup.procs")));
            Assert.Equal([$"{pid}"], await File.ReadAllLinesAsync(Path.Combine(pids, "cgroup.procs")));
            Assert.Equal(VirtualMachine.FixedBytes(fixture.Host.Golden.Shape), ReadLimit(memory));
            Assert.Equal($"{HostCgroups.MaxThreads}\n", await File.ReadAllTextAsync(Path.Combine(pids, "pids.max")));
            Assert.False(sandbox.Isolation!.IsInForce(IsolationControl.CpuLimit));
        }

        Assert.False(Directory.Exists(memory), memory);
        Assert.False(Directory.Exists(pids), pids);
    }

    [SkippableFact]
    public async Task Create_WithACpuLimitOfTheHosts_HasIt()
    {
        RequireControl(IsolationControl.CpuLimit);
        await using Sandbox sandbox = await fixture.Host.CreateAsync(new SandboxSpec { Image = null, HostCpuMaxPercent = 150 }, ExecTests.Deadline());
        string directory = DirectoryOf(sandbox, IsolationControl.CpuLimit);

        string quota = Path.Combine(directory, "cpu.cfs_quota_us");
        Assert.Equal(
            "150000", File.Exists(quota) ? (await File.ReadAllTextAsync(quota)).Trim() : (await File.ReadAllTextAsync(Path.Combine(directory, "cpu.max"))).Split(' ')[0]);
    }

    [SkippableFact]
    public async Task Resize_TheMemoryLimitFollows()
    {
        RequireMemoryLimit();
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(new SandboxSpec { MemoryMib = 768 }, ExecTests.Deadline());
        string directory = DirectoryOf(sandbox, IsolationControl.MemoryLimit);
        long bare = VirtualMachine.FixedBytes(fixture.Host.Golden.Shape);
        Assert.Equal(bare + (256L << 20), ReadLimit(directory));

        await sandbox.ResizeAsync(new SandboxResize { MemoryMib = 1_536 }, ExecTests.Deadline(120));
        Assert.Equal(bare + (1_024L << 20), ReadLimit(directory));

        await sandbox.ResizeAsync(new SandboxResize { MemoryMib = 512 }, ExecTests.Deadline(120));
        Assert.Equal(bare, ReadLimit(directory));
    }

    [SkippableFact]
    public async Task Qemu_ThatNeedsMoreThanItsCgroupAllows_ItsEndSaysSo()
    {
        RequireMemoryLimit();
        Sandbox sandbox = await fixture.HostWithImage.CreateAsync(cancellationToken: ExecTests.Deadline());
        string directory = DirectoryOf(sandbox, IsolationControl.MemoryLimit);

        // What a guest's kernel cannot be kept from on old QEMU, brought about from this side: it writes to memory beyond the limit.
        Limit(directory, ReadUsage(directory) + (32 << 20));
        SandboxLostException lost = await Assert.ThrowsAsync<SandboxLostException>(
            () => sandbox.ExecAsync(["python3", "-c", "x = bytearray(300 << 20); print(len(x))"], cancellationToken: ExecTests.Deadline()));
        SandboxExit exit = await sandbox.Stopped.WaitAsync(TimeSpan.FromSeconds(30));

        Assert.Equal(SandboxExitReason.HostMemoryLimit, exit.Reason);
        Assert.Contains("cgroup", lost.Message, StringComparison.Ordinal);
        await sandbox.DisposeAsync();
        Assert.False(Directory.Exists(directory), directory);
    }

    [SkippableFact]
    public async Task Detached_TakenOverByTheNextHost_ItsCgroupIsFoundAndEndsWithIt()
    {
        RequireMemoryLimit();
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        string directory;
        string id;
        IReadOnlyList<IsolationControlState> controls;
        await using (SandboxHost host = await state.StartHostAsync())
        {
            Sandbox sandbox = await host.CreateAsync(
                new SandboxSpec { Lifetime = SandboxLifetime.Detached, MemoryMib = 768 }, ExecTests.Deadline());
            (id, directory, controls) = (sandbox.Id, DirectoryOf(sandbox, IsolationControl.MemoryLimit), sandbox.Isolation!.Controls);
        }

        Assert.True(Directory.Exists(directory), "it runs on");
        await using SandboxHost next = await state.StartHostAsync();
        Sandbox adopted = (await next.RecoverAsync(ExecTests.Deadline())).Adopted.Single(sandbox => sandbox.Id == id);
        Assert.Equal(controls, adopted.Isolation!.Controls);
        await adopted.ResizeAsync(new SandboxResize { MemoryMib = 896 }, ExecTests.Deadline(120));
        Assert.Equal(VirtualMachine.FixedBytes(next.Golden.Shape) + (384L << 20), ReadLimit(directory));
        await adopted.DeleteAsync(ExecTests.Deadline());

        Assert.False(Directory.Exists(directory), directory);
    }

    [SkippableFact]
    public async Task Start_SweepsTheCgroupsOfHostsThatAreGone_AndNoOthers()
    {
        RequireMemoryLimit();
        await using var state = new OwnState();
        string site = fixture.Host.Context.Cgroups.SiteOf(IsolationControl.MemoryLimit)!.Directory;
        long started = ProcessFacts.Read(Environment.ProcessId)!.Value.StartTicks;
        string gone = Path.Combine(site, string.Create(CultureInfo.InvariantCulture, $"vm-{Environment.ProcessId}-{started - 1}-77"));
        string ours = Path.Combine(site, string.Create(CultureInfo.InvariantCulture, $"vm-{Environment.ProcessId}-{started}-7777777"));
        Directory.CreateDirectory(gone);
        Directory.CreateDirectory(ours);
        try
        {
            await using SandboxHost host = await state.StartHostAsync();

            Assert.False(Directory.Exists(gone), gone);
            Assert.True(Directory.Exists(ours), ours);
        }
        finally
        {
            Assert.True(VmCgroup.TryRemove(ours, out string? why), why);
        }
    }

    [SkippableFact]
    public async Task Required_WhereThereIsNone_NothingIsStarted()
    {
        _ = fixture.Host;
        await using var state = new OwnState();
        SandboxHostOptions options = state.Options with
        {
            CgroupParent = "/tmp",
            Isolation = IsolationRequirement.Require(IsolationLevel.Full, IsolationControl.MemoryLimit),
        };

        SandboxIsolationException refused = await Assert.ThrowsAsync<SandboxIsolationException>(() => SandboxHost.StartAsync(options));
        Assert.Equal(IsolationControl.MemoryLimit, refused.Control);
        Assert.Contains("Delegate=yes", refused.Remedy, StringComparison.Ordinal);

        await using SandboxHost host = await SandboxHost.StartAsync(options with { Isolation = IsolationLevel.Full });
        await using Sandbox without = await host.CreateAsync(new SandboxSpec { Image = null }, ExecTests.Deadline());
        Assert.False(without.Isolation!.IsInForce(IsolationControl.MemoryLimit));
        refused = await Assert.ThrowsAsync<SandboxIsolationException>(() => host.CreateAsync(new SandboxSpec { Image = null, HostCpuMaxPercent = 50 }));
        Assert.Equal(IsolationControl.CpuLimit, refused.Control);
        refused = await Assert.ThrowsAsync<SandboxIsolationException>(() => host.CreateAsync(
            new SandboxSpec { Image = null, Isolation = IsolationRequirement.Require(IsolationLevel.Full, IsolationControl.ProcessLimit) }));
        Assert.Equal(IsolationControl.ProcessLimit, refused.Control);
    }

    private void RequireMemoryLimit() => RequireControl(IsolationControl.MemoryLimit);

    private void RequireControl(IsolationControl control)
    {
        string? why = fixture.Host.Context.Cgroups.WhyNot(control);
        Skip.If(why is not null, $"no host cgroup: {why}");
    }

    private static string DirectoryOf(Sandbox sandbox, IsolationControl control)
    {
        IsolationControlState state = sandbox.Isolation!.Controls.Single(state => state.Control == control);
        Assert.True(state.InForce, $"{control}: {state.Detail}");
        return state.Detail;
    }

    private static long ReadLimit(string directory) => Read(directory, "memory.limit_in_bytes", "memory.max");

    private static long ReadUsage(string directory) => Read(directory, "memory.usage_in_bytes", "memory.current");

    private static long Read(string directory, string first, string unified)
    {
        string file = Path.Combine(directory, first);
        return long.Parse(File.ReadAllText(File.Exists(file) ? file : Path.Combine(directory, unified)), CultureInfo.InvariantCulture);
    }

    private static void Limit(string directory, long bytes)
    {
        string file = Path.Combine(directory, "memory.limit_in_bytes");
        File.WriteAllText(File.Exists(file) ? file : Path.Combine(directory, "memory.max"), bytes.ToString(CultureInfo.InvariantCulture));
    }
}
