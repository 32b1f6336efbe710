using System.Net.Sockets;
using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Qmp;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.Golden;
using OpenSandbox.Vmm.Lifecycle;
using OpenSandbox.Vmm.Processes;
using OpenSandbox.Vmm.Qemu;
using OpenSandbox.Vmm.Snapshots;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm;

/// <content>From a reserved id to a sandbox whose guest has resumed.</content>
public sealed partial class SandboxHost
{
    private async Task<(Sandbox Sandbox, GuestStream? First)> CreateNewAsync(
        string id, SandboxSpec spec, OpenRequest? first, CancellationToken cancellationToken)
    {
        bool detached = spec.Lifetime == SandboxLifetime.Detached;
        using StateLease? lease = detached ? await Store.EnterAsync(cancellationToken).ConfigureAwait(false) : null;
        using FrozenDisks images = OpenImages(spec);
        if (!detached && await ClaimAsync(id, spec, images, first, cancellationToken).ConfigureAwait(false) is (SandboxRun claimed, var opened))
        {
            return (await AdoptAsync(id, spec, claimed, null, lease, cancellationToken).ConfigureAwait(false), opened);
        }

        SandboxDisks disks = lease is null
            ? images.Extend(NewLayer)
            : await Task.Run(() => images.Extend(NewLayersFor(spec, lease)), CancellationToken.None).ConfigureAwait(false);
        var start = new MachineStart(id, spec, _golden, disks) { First = first, Detached = NewDetachment(id, spec) };
        (SandboxRun run, GuestStream? stream) = await StartMachineAsync(start, cancellationToken).ConfigureAwait(false);
        return (await AdoptAsync(id, spec, run, null, lease, cancellationToken).ConfigureAwait(false), stream);
    }

    /// <summary>The images that a new sandbox's disks begin with.</summary>
    /// <exception cref="SandboxImageException">There is no such image.</exception>
    internal FrozenDisks OpenImages(SandboxSpec spec)
    {
        VmShape shape = _golden.Shape;
        if (spec.Image is null)
        {
            return new FrozenDisks(null, null);
        }

        (string digest, SafeFileHandle image) = Images.OpenRootfs(spec.Image, shape.RootfsBytes);
        var rootfs = new FrozenDisk("rootfs", digest, image, shape.RootfsBytes, []);
        try
        {
            return new FrozenDisks(rootfs, spec.Workspace ? OpenWorkspace(shape) : null);
        }
        catch
        {
            rootfs.Dispose();
            throw;
        }
    }

    /// <summary>An empty layer that goes with its last descriptor.</summary>
    internal DiskLayer NewLayer(long virtualBytes) => DiskLayer.CreateUnnamed(_diskDirectory, virtualBytes);

    /// <summary>
    /// Starts a machine and brings its guest up; the disks are taken over. From the golden snapshot QEMU loads the devices' state from a
    /// file by itself. From saved memory it waits for that state on a socket, until the guest's pages have been written into it.
    /// </summary>
    internal async Task<(SandboxRun Run, GuestStream? First)> StartMachineAsync(MachineStart start, CancellationToken cancellationToken)
    {
        using var deadline = new CancellationTokenSource(Options.StartTimeout, Options.TimeProvider);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken, _closing.Token);
        string phase = "starting QEMU";
        VirtualMachine? vm = null;
        Task plugged = Task.CompletedTask;
        try
        {
            vm = start.Memory is null
                ? await StartFromGoldenAsync(start).ConfigureAwait(false)
                : await StartFromMemoryAsync(start, start.Memory, started => vm = started, either.Token).ConfigureAwait(false);
            long plug = start.Memory is null ? PluggedBytes(start.Spec, start.Golden.Shape) : 0;
            plugged = plug == 0 ? Task.CompletedTask : PlugAsync(vm, plug, either.Token);

            // The agent reads this port only once it has resumed: the command may wait there from now on.
            GuestStream? stream = start.First is null ? null : vm.Channel.OpenStream(GuestPort.Bulk, start.First);

            phase = start.Memory is null ? "loading the golden snapshot" : "loading the saved machine";
            AgentHello hello = await vm.Channel.WaitForHelloAsync(either.Token).ConfigureAwait(false);
            if (start.Memory is not null && !hello.Quiesced)
            {
                throw new MemoryFileException("the guest did not stand still when it was saved");
            }

            phase = "confining QEMU";
            SandboxIsolation isolation = await vm.GetIsolationAsync(either.Token).ConfigureAwait(false);

            phase = "resuming the guest";
            ResumeResult resumed = await ResumeAsync(vm, start, plug, either.Token).ConfigureAwait(false);
            await plugged.ConfigureAwait(false);
            return (new SandboxRun(vm, GoldenReference.To(start.Golden), start.Disks, resumed)
            {
                FromMemory = start.Memory is not null,
                Isolation = isolation,
            }, stream);
        }
        catch (Exception failure)
        {
            // The end of QEMU is the better explanation, and the sockets close a moment before it can be reaped.
            bool late = deadline.IsCancellationRequested;
            SandboxExit? exit = failure is OperationCanceledException || vm is null
                ? null
                : await vm.TryDescribeExitAsync().ConfigureAwait(false);
            if (vm is not null)
            {
                await vm.DisposeAsync().ConfigureAwait(false);
            }

            await plugged.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            start.Disks.Dispose();
            cancellationToken.ThrowIfCancellationRequested();
            ObjectDisposedException.ThrowIf(_closing.IsCancellationRequested, this);
            if (vm is not null && await vm.FindIsolationFailureAsync().ConfigureAwait(false) is SandboxIsolationException unconfined)
            {
                throw unconfined;
            }

            if (exit is not null)
            {
                throw new SandboxStartException(start.Id, phase, exit.Description, exit.StandardErrorTail, failure);
            }

            if (late)
            {
                throw new SandboxTimeoutException(start.Id, phase, Options.StartTimeout, failure);
            }

            if (vm is null && failure is SandboxException)
            {
                throw;
            }

            throw new SandboxStartException(start.Id, phase, failure.Message, vm?.StandardErrorTail ?? "", failure);
        }
    }

    private async Task<VirtualMachine> StartFromGoldenAsync(MachineStart start)
    {
        using SafeFileHandle state = start.Golden.OpenDeviceState();
        return await LaunchAsync(start, state, null).ConfigureAwait(false);
    }

    private async Task<VirtualMachine> StartFromMemoryAsync(
        MachineStart start, IMachineMemory memory, Action<VirtualMachine> started, CancellationToken cancellationToken)
    {
        using SafeFileHandle pluggedRam = VirtualMachine.CreatePluggedRam(start.Golden.Shape.PluggableBytes);
        (Socket feed, SafeFileHandle theirs) = SocketPairs.Create();
        using (feed)
        using (theirs)
        {
            VirtualMachine vm = await LaunchAsync(start, theirs, pluggedRam).ConfigureAwait(false);
            started(vm);

            // QEMU answers its monitor from its main loop, which it enters when the machine is set up: its RAM is mapped by then.
            await vm.GetQmpAsync().WaitAsync(cancellationToken).ConfigureAwait(false);
            int pid = await vm.GetQemuPidAsync(cancellationToken).ConfigureAwait(false);
            memory.FillRam(RamMapping.Find(pid, (long)start.Golden.Shape.BaseMemoryMib << 20));

            // Not earlier: while it sets the device up, QEMU (7.2, hw/virtio/virtio-mem.c) throws away what the file holds.
            memory.FillPlugged(pluggedRam);
            for (ReadOnlyMemory<byte> rest = memory.DeviceState; rest.Length > 0;)
            {
                rest = rest[await feed.SendAsync(rest, cancellationToken).ConfigureAwait(false)..];
            }

            return vm;
        }
    }

    private async Task<VirtualMachine> LaunchAsync(MachineStart start, SafeFileHandle state, SafeFileHandle? pluggedRam)
    {
        VmShape shape = start.Golden.Shape;
        try
        {
            return await VirtualMachine.StartAsync(_context, new VmLaunch(
                start.Id,
                shape,
                start.Golden.Ram.File,
                (descriptors, channels) => QemuCommandLine.ForRestore(
                    Options.QemuPath,
                    shape,
                    channels,
                    descriptors.Add(state),
                    start.Disks.Rootfs?.Describe(descriptors),
                    start.Disks.Workspace?.Describe(descriptors)),
                start.Detached)
            {
                PluggedRam = pluggedRam,
                Reconnect = start.Memory is not null,
                Isolation = Options.Isolation.And(start.Spec.Isolation),
                AllowedPluggedBytes = (start.MemoryMib ?? start.Spec.MemoryMib) is int memory
                    ? Math.Max(0, memory - shape.BaseMemoryMib) * (1L << 20)
                    : start.Memory is null ? 0 : shape.PluggableBytes,
                HostCpuMaxPercent = start.Spec.HostCpuMaxPercent,
            }).ConfigureAwait(false);
        }
        finally
        {
            start.Disks.CloseHanded();
        }
    }

    private FrozenDisk OpenWorkspace(VmShape shape)
    {
        (string digest, SafeFileHandle image) = Images.OpenRootfs(SandboxImages.WorkspaceName, shape.WorkspaceBytes);
        return new FrozenDisk("workspace", digest, image, shape.WorkspaceBytes, []);
    }

    private Sandbox Adopt(
        string id,
        SandboxSpec spec,
        SandboxRun run,
        SandboxLimits? limits,
        (SandboxLock Lock, SandboxManifest Manifest)? registered,
        SandboxEventDetails? forked)
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed is not null, this);
            var sandbox = new Sandbox(this, id, spec, registered);
            _sandboxes[id] = sandbox;
            sandbox.Tell(forked is null ? SandboxEventKind.Created : SandboxEventKind.Forked, forked.GetValueOrDefault());
            sandbox.Begin(run, limits);
            return sandbox;
        }
    }

    private static long PluggedBytes(SandboxSpec spec, VmShape shape) =>
        Math.Max(0, (spec.MemoryMib ?? shape.BaseMemoryMib) - shape.BaseMemoryMib) * (1L << 20);

    private static async Task PlugAsync(VirtualMachine vm, long bytes, CancellationToken cancellationToken)
    {
        QmpClient qmp = await vm.GetQmpAsync().WaitAsync(cancellationToken).ConfigureAwait(false);
        await qmp.QomSetAsync(QemuCommandLine.MemoryDevicePath, "requested-size", bytes, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>What turns the golden snapshot into this sandbox; the performance harness sends the same.</summary>
    internal OpenRequest DescribeResume(string id, SandboxSpec spec, long pluggedBytes) => new()
    {
        Op = Operations.Resume,
        Resume = new ResumeRequest
        {
            WallClockNanoseconds = WallClockNanoseconds(),
            EntropySeed = NewSeed(),
            Hostname = spec.Hostname ?? id,
            Environment = spec.EnvironmentVariables.Count == 0
                ? null
                : new Dictionary<string, string>(spec.EnvironmentVariables, StringComparer.Ordinal),
            RootDevice = spec.Image is null ? null : "vda",
            WorkspaceDevice = spec.Image is null || !spec.Workspace ? null : "vdb",
            Limits = new GuestLimits
            {
                PidsMax = spec.PidsMax,
                MemoryMaxBytes = spec.MemoryMib is int memory ? SandboxResizer.ProcessBytes((long)memory << 20) : null,
                CpuMaxPercent = spec.CpuMaxPercent,
            },
            Description = new SandboxDescription { SandboxId = id, Metadata = DescribeMetadata(spec) },
            PluggedMemoryBytes = pluggedBytes == 0 ? null : pluggedBytes,
        },
    };

    /// <summary>The host's clock, for a guest's.</summary>
    internal long WallClockNanoseconds() => (Options.TimeProvider.GetUtcNow() - DateTimeOffset.UnixEpoch).Ticks * TimeSpan.NanosecondsPerTick;

    /// <summary>Random bytes for a guest's generator.</summary>
    internal static byte[] NewSeed()
    {
        const int seedBytes = 64;
        return RandomNumberGenerator.GetBytes(seedBytes);
    }

    private Dictionary<string, string> DescribeMetadata(SandboxSpec spec)
    {
        var metadata = new Dictionary<string, string>(StringComparer.Ordinal) { ["region"] = Options.Region, ["template"] = spec.Image ?? "" };
        foreach ((string name, string value) in spec.Metadata)
        {
            metadata[name] = value;
        }

        return metadata;
    }

    private async Task<ResumeResult> ResumeAsync(VirtualMachine vm, MachineStart start, long pluggedBytes, CancellationToken cancellationToken)
    {
        OpenRequest request = DescribeResume(start.Id, start.Spec, pluggedBytes);
        if (start.Memory is not null)
        {
            // Its limits are in its memory, as they were when that was saved.
            request = request with { Resume = request.Resume! with { RenewIdentity = start.RenewIdentity, Limits = null } };
        }

        GuestStream stream = vm.Channel.OpenStream(GuestPort.Control, request);
        try
        {
            return await stream.GetResultAsync(ProtocolJsonContext.Default.ResumeResult, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            await stream.DisposeAsync().ConfigureAwait(false);
        }
    }
}
