using System.Text;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm;
using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.Qemu;

namespace OpenSandbox.PerfHarness.Floor;

/// <summary>Writes the directory that the floor program works from: command line, requests and overlays, all made by the library's own code.</summary>
internal static class FloorFiles
{
    /// <summary>Bytes of a large transfer.</summary>
    internal const int TransferBytes = 64 << 20;

    /// <summary>Bytes of a small file.</summary>
    internal const int SmallFileBytes = 1_024;

    /// <summary>How much memory row P17 adds, MiB.</summary>
    internal const int GrowMib = 512;

    /// <summary>The file that small reads and writes use, in the sandboxes of both sides.</summary>
    internal const string SmallFile = "/workspace/small";

    /// <summary>The command that is measured: the image's, or without an image the initramfs' static one.</summary>
    internal static readonly string[] Command = ["/bin/true"];

    /// <summary>Writes all files.</summary>
    /// <param name="directory">An empty directory.</param>
    /// <param name="host">The host.</param>
    /// <param name="spec">The kind of sandbox.</param>
    /// <param name="cancellationToken">Stops.</param>
    internal static async Task WriteAsync(string directory, SandboxHost host, SandboxSpec spec, CancellationToken cancellationToken)
    {
        LauncherCommand command;
        Sandbox sandbox = await host.CreateAsync(spec, cancellationToken).ConfigureAwait(false);
        await using (sandbox.ConfigureAwait(false))
        {
            command = LauncherCommand.Of(sandbox.Machine.LauncherPid);
        }

        await WriteAsync("argv", Encoding.UTF8.GetBytes(string.Concat(command.Arguments.Select(static argument => argument + '\0')))).ConfigureAwait(false);
        await WriteAsync("roles", Encoding.UTF8.GetBytes(string.Join('\n', command.Roles))).ConfigureAwait(false);
        await WriteAsync("welcome.json", JsonSerializer.SerializeToUtf8Bytes(
            new HostWelcome { Generation = ProtocolConstants.Generation }, ProtocolJsonContext.Default.HostWelcome)).ConfigureAwait(false);
        await WriteRequestAsync("resume", host.DescribeResume("sb-00000000", spec, 0)).ConfigureAwait(false);
        await WriteRequestAsync("exec", Sandbox.DescribeExec(Command, ExecOptions.Default, standardInput: false)).ConfigureAwait(false);
        await WriteRequestAsync("write", new OpenRequest { Op = Operations.Write, File = new FileRequest { Path = SmallFile } }).ConfigureAwait(false);
        await WriteRequestAsync("read", new OpenRequest { Op = Operations.Read, File = new FileRequest { Path = SmallFile } }).ConfigureAwait(false);
        await WriteRequestAsync("sink", new OpenRequest { Op = Operations.Sink }).ConfigureAwait(false);
        await WriteRequestAsync("source", new OpenRequest { Op = Operations.Source, Length = TransferBytes }).ConfigureAwait(false);
        int grown = host.Golden.Shape.BaseMemoryMib + GrowMib;
        await WriteRequestAsync("grow", SandboxResizer.DescribeGrow(new SandboxResize { MemoryMib = grown }, grown, host)).ConfigureAwait(false);
        await WriteRequestAsync("shrink", new OpenRequest { Op = Operations.Limits, Limits = new LimitsRequest { PluggedMemoryBytes = 0 } }).ConfigureAwait(false);
        if (spec.Image is not null)
        {
            VmShape shape = host.Golden.Shape;
            WriteOverlay("overlay0", shape.RootfsBytes);
            if (spec.Workspace)
            {
                WriteOverlay("overlay1", shape.WorkspaceBytes);
            }
        }

        Task WriteAsync(string name, byte[] content) => File.WriteAllBytesAsync(Path.Combine(directory, name), content, cancellationToken);

        Task WriteRequestAsync(string name, OpenRequest request) =>
            WriteAsync(name + ".json", JsonSerializer.SerializeToUtf8Bytes(request, ProtocolJsonContext.Default.OpenRequest));

        void WriteOverlay(string name, long bytes)
        {
            using SafeFileHandle file = File.OpenHandle(Path.Combine(directory, name), FileMode.CreateNew, FileAccess.ReadWrite);
            Qcow2Overlay.Format(file, bytes);
        }
    }
}
