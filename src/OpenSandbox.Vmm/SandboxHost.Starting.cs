using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Qmp;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.Qemu;

namespace OpenSandbox.Vmm;

/// <content>From a reserved id to a sandbox whose guest has resumed.</content>
public sealed partial class SandboxHost
{
    private async Task<(Sandbox Sandbox, GuestStream? First)> StartAsync(
        string id, SandboxSpec spec, OpenRequest? first, CancellationToken cancellationToken)
    {
        using var files = new SandboxDisks();
        VmShape shape = _golden.Shape;
        if (spec.Image is not null)
        {
            files.AddRootfs(Images.OpenRootfs(spec.Image, shape.RootfsBytes), _diskDirectory, shape.RootfsBytes);
            if (spec.Workspace)
            {
                files.AddWorkspace(
                    Images.OpenRootfs(SandboxImages.WorkspaceName, shape.WorkspaceBytes), _diskDirectory, shape.WorkspaceBytes);
            }
        }

        using SafeFileHandle state = _golden.OpenDeviceState();
        using var deadline = new CancellationTokenSource(Options.StartTimeout, Options.TimeProvider);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken, _closing.Token);
        string phase = "starting QEMU";
        VirtualMachine vm = await VirtualMachine.StartAsync(_context, new VmLaunch(
            id,
            shape,
            _golden.Ram.File,
            (descriptors, channels) => QemuCommandLine.ForRestore(
                Options.QemuPath, shape, channels, descriptors.Add(state), files.DescribeRootfs(descriptors), files.DescribeWorkspace(descriptors))))
            .ConfigureAwait(false);
        Task plugged = Task.CompletedTask;
        try
        {
            long plug = PluggedBytes(spec, shape);
            plugged = plug == 0 ? Task.CompletedTask : PlugAsync(vm, plug, either.Token);

            // The agent reads this port only once it has resumed: the command may wait there from now on.
            GuestStream? stream = first is null ? null : vm.Channel.OpenStream(GuestPort.Bulk, first);

            phase = "loading the golden snapshot";
            await vm.Channel.WaitForHelloAsync(either.Token).ConfigureAwait(false);

            phase = "resuming the guest";
            ResumeResult resumed = await ResumeAsync(vm, id, spec, plug, either.Token).ConfigureAwait(false);
            await plugged.ConfigureAwait(false);
            return (Adopt(id, spec, vm, resumed), stream);
        }
        catch (Exception failure)
        {
            // The end of QEMU is the better explanation, and the sockets close a moment before it can be reaped.
            bool late = deadline.IsCancellationRequested;
            SandboxExit? exit = failure is OperationCanceledException ? null : await vm.TryDescribeExitAsync().ConfigureAwait(false);
            await vm.DisposeAsync().ConfigureAwait(false);
            await plugged.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            cancellationToken.ThrowIfCancellationRequested();
            ObjectDisposedException.ThrowIf(_closing.IsCancellationRequested, this);
            if (exit is not null)
            {
                throw new SandboxStartException(id, phase, exit.Description, exit.StandardErrorTail, failure);
            }

            if (late)
            {
                throw new SandboxTimeoutException(id, phase, Options.StartTimeout, failure);
            }

            throw new SandboxStartException(id, phase, failure.Message, vm.StandardErrorTail, failure);
        }
    }

    private Sandbox Adopt(string id, SandboxSpec spec, VirtualMachine vm, ResumeResult resumed)
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed is not null, this);
            var sandbox = new Sandbox(this, id, spec, vm, resumed);
            _sandboxes[id] = sandbox;
            sandbox.Begin();
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
    internal OpenRequest DescribeResume(string id, SandboxSpec spec, long pluggedBytes)
    {
        const int seedBytes = 64;
        return new OpenRequest
        {
            Op = Operations.Resume,
            Resume = new ResumeRequest
            {
                WallClockNanoseconds = (Options.TimeProvider.GetUtcNow() - DateTimeOffset.UnixEpoch).Ticks * TimeSpan.NanosecondsPerTick,
                EntropySeed = RandomNumberGenerator.GetBytes(seedBytes),
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

    private async Task<ResumeResult> ResumeAsync(
        VirtualMachine vm, string id, SandboxSpec spec, long pluggedBytes, CancellationToken cancellationToken)
    {
        OpenRequest request = DescribeResume(id, spec, pluggedBytes);
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
