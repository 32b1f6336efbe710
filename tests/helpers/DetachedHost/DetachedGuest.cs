using System.Text;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm;
using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.Qemu;

namespace OpenSandbox.DetachedHost;

/// <summary>A guest in a detached VM, started or adopted below the level of sandboxes.</summary>
internal sealed class DetachedGuest : IAsyncDisposable
{
    private readonly SandboxHost _host;
    private readonly SandboxSpec _spec;

    private DetachedGuest(SandboxHost host, SandboxSpec spec, string id, VirtualMachine vm)
    {
        _host = host;
        _spec = spec;
        Id = id;
        Vm = vm;
    }

    internal string Id { get; }

    internal VirtualMachine Vm { get; }

    /// <summary>The VM's own directory.</summary>
    internal static string DirectoryOf(SandboxHost host, string id) => VmRuntimeDirectory.PathOf(host.Options.RuntimeDirectory, id);

    /// <summary>Starts the VM alone: the guest may not run yet, and nothing has been recorded.</summary>
    internal static async Task<DetachedGuest> LaunchAsync(SandboxHost host, SandboxSpec spec, string id, VmDetachment detachment)
    {
        VmShape shape = host.Golden.Shape;
        var files = new List<SafeFileHandle>();
        using SafeFileHandle state = host.Golden.OpenDeviceState();
        try
        {
            VirtualMachine vm = await VirtualMachine.StartAsync(host.Context, new VmLaunch(
                id,
                shape,
                host.Golden.Ram.File,
                (descriptors, channels) => QemuCommandLine.ForRestore(
                    host.Options.QemuPath,
                    shape,
                    channels,
                    descriptors.Add(state),
                    Disk(descriptors, spec.Image, shape.RootfsBytes),
                    Disk(descriptors, spec.Image is null ? null : SandboxImages.WorkspaceName, shape.WorkspaceBytes)),
                Detached: detachment));
            return new DetachedGuest(host, spec, id, vm);
        }
        finally
        {
            files.ForEach(static file => file.Dispose());
        }

        DiskDescriptors? Disk(VmDescriptors descriptors, string? image, long bytes)
        {
            if (image is null)
            {
                return null;
            }

            SafeFileHandle below = host.Images.OpenRootfs(image, bytes).File;
            files.Add(below);
            SafeFileHandle overlay = UnnamedFile.Create(Path.Combine(host.Options.StateDirectory, "disks"));
            files.Add(overlay);
            Qcow2Overlay.Format(overlay, bytes);
            return new DiskDescriptors(descriptors.Add(overlay), descriptors.Add(below));
        }
    }

    /// <summary>Starts a VM and waits until its guest has resumed and the VM is recorded.</summary>
    internal static async Task<DetachedGuest> StartAsync(SandboxHost host, SandboxSpec spec, string id, CancellationToken cancellationToken)
    {
        DetachedGuest guest = await LaunchAsync(host, spec, id, new VmDetachment(DirectoryOf(host, id), VmDetachment.NewNonce()));
        await guest.ResumeAsync(cancellationToken);
        await guest.Vm.GetRecordAsync(cancellationToken);
        return guest;
    }

    /// <summary>Adopts a VM and waits until its guest knows.</summary>
    internal static async Task<DetachedGuest> AdoptAsync(
        SandboxHost host, SandboxSpec spec, string id, VmRecord record, CancellationToken cancellationToken)
    {
        VirtualMachine vm = await VirtualMachine.AdoptAsync(host.Context, id, record, cancellationToken);
        var guest = new DetachedGuest(host, spec, id, vm);
        try
        {
            await guest.ResumeAsync(cancellationToken);
            return guest;
        }
        catch
        {
            await vm.ReleaseAsync();
            throw;
        }
    }

    /// <summary>Opens a stream on the bulk port.</summary>
    internal GuestStream Open(OpenRequest request) => Vm.Channel.OpenStream(GuestPort.Bulk, request);

    /// <summary>Runs a command to its end.</summary>
    internal async Task<(int? ExitCode, string Output)> ExecAsync(string[] command, CancellationToken cancellationToken)
    {
        await using GuestStream stream = Open(new OpenRequest { Op = Operations.Exec, Exec = new ExecRequest { Argv = command } });
        string output = await ReadAsync(stream, cancellationToken);
        ExecResultMessage result = await stream.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage, cancellationToken);
        return (result.ExitCode, output);
    }

    /// <summary>Reads what a stream says up to its end.</summary>
    internal static async Task<string> ReadAsync(GuestStream stream, CancellationToken cancellationToken)
    {
        using var all = new MemoryStream();
        byte[] buffer = new byte[65_536];
        int count;
        while ((count = (await stream.ReadAsync(buffer, cancellationToken)).Count) > 0)
        {
            all.Write(buffer, 0, count);
        }

        return Encoding.UTF8.GetString(all.ToArray());
    }

    /// <summary>Ends the VM, unless it has been released.</summary>
    public ValueTask DisposeAsync() => Vm.DisposeAsync();

    private async Task ResumeAsync(CancellationToken cancellationToken)
    {
        await Vm.Channel.WaitForHelloAsync(cancellationToken);
        await using GuestStream resume = Vm.Channel.OpenStream(GuestPort.Control, _host.DescribeResume(Id, _spec, 0));
        await resume.GetResultAsync(ProtocolJsonContext.Default.ResumeResult, cancellationToken);
    }
}
