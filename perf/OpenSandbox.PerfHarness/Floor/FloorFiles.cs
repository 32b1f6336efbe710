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

    /// <summary>Makes a guest's memory differ from the golden snapshot's by 16 MiB more, none of it zero. Needs an image.</summary>
    internal static readonly string[] DirtyingCommand = ["/bin/sh", "-c", "head -c 16777216 /dev/urandom > /tmp/dirty"];

    /// <summary>Prefix of the files of a machine that goes on from another's state, as another.</summary>
    internal const string ForkPrefix = "fork-";

    /// <summary>Prefix of the files of a machine that goes on from its own state.</summary>
    internal const string WakePrefix = "wake-";

    /// <summary>Writes all files but those of <see cref="WriteRevivalsAsync"/>.</summary>
    /// <param name="directory">An empty directory.</param>
    /// <param name="host">The host.</param>
    /// <param name="spec">The kind of sandbox.</param>
    /// <param name="cancellationToken">Stops.</param>
    internal static async Task WriteAsync(string directory, SandboxHost host, SandboxSpec spec, CancellationToken cancellationToken)
    {
        Sandbox sandbox = await host.CreateAsync(spec, cancellationToken).ConfigureAwait(false);
        await using (sandbox.ConfigureAwait(false))
        {
            await WriteCommandAsync(directory, "", sandbox, cancellationToken).ConfigureAwait(false);
        }

        await WriteAsync("welcome.json", JsonSerializer.SerializeToUtf8Bytes(
            new HostWelcome { Generation = ProtocolConstants.Generation }, ProtocolJsonContext.Default.HostWelcome)).ConfigureAwait(false);
        await WriteRequestAsync("resume", host.DescribeResume("sb-00000000", spec, 0)).ConfigureAwait(false);
        await WriteRequestAsync("exec", Sandbox.DescribeExec(Command, ExecOptions.Default, standardInput: false)).ConfigureAwait(false);
        await WriteRequestAsync("write", new OpenRequest { Op = Operations.Write, File = new FileRequest { Path = SmallFile } }).ConfigureAwait(false);
        await WriteRequestAsync("read", new OpenRequest { Op = Operations.Read, File = new FileRequest { Path = SmallFile } }).ConfigureAwait(false);
        await WriteRequestAsync("sink", new OpenRequest { Op = Operations.Sink }).ConfigureAwait(false);
        await WriteRequestAsync("source", new OpenRequest { Op = Operations.Source, Length = TransferBytes }).ConfigureAwait(false);
        await WriteRequestAsync("dirty", Sandbox.DescribeExec(DirtyingCommand, ExecOptions.Default, standardInput: false)).ConfigureAwait(false);
        await WriteAsync("quiesce.json", JsonSerializer.SerializeToUtf8Bytes(
            new QuiesceRequest { Snapshot = true, WatchdogMilliseconds = 20_000 }, ProtocolJsonContext.Default.QuiesceRequest)).ConfigureAwait(false);
        await WriteAsync("thaw.json", JsonSerializer.SerializeToUtf8Bytes(
            new ThawRequest { WallClockNanoseconds = host.WallClockNanoseconds(), EntropySeed = SandboxHost.NewSeed() },
            ProtocolJsonContext.Default.ThawRequest)).ConfigureAwait(false);
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

        Task WriteAsync(string name, byte[] content) => FloorFiles.WriteAsync(directory, name, content, cancellationToken);

        Task WriteRequestAsync(string name, OpenRequest request) => FloorFiles.WriteRequestAsync(directory, name, request, cancellationToken);

        void WriteOverlay(string name, long bytes)
        {
            using SafeFileHandle file = File.OpenHandle(Path.Combine(directory, name), FileMode.CreateNew, FileAccess.ReadWrite);
            Qcow2Overlay.Format(file, bytes);
        }
    }

    /// <summary>Writes the files of machines that go on from a state that was taken from another.</summary>
    /// <inheritdoc cref="WriteAsync(string, SandboxHost, SandboxSpec, CancellationToken)"/>
    internal static async Task WriteRevivalsAsync(string directory, SandboxHost host, SandboxSpec spec, CancellationToken cancellationToken)
    {
        Sandbox sandbox = await host.CreateAsync(spec, cancellationToken).ConfigureAwait(false);
        await using (sandbox.ConfigureAwait(false))
        {
            Sandbox fork = (await sandbox.ForkAsync(cancellationToken: cancellationToken).ConfigureAwait(false))[0];
            await using (fork.ConfigureAwait(false))
            {
                foreach (string prefix in (string[])[ForkPrefix, WakePrefix])
                {
                    await WriteCommandAsync(directory, prefix, fork, cancellationToken).ConfigureAwait(false);
                    OpenRequest request = host.DescribeResume("sb-00000000", spec, 0);
                    request = request with { Resume = request.Resume! with { RenewIdentity = prefix == ForkPrefix, Limits = null } };
                    await WriteRequestAsync(directory, prefix + "resume", request, cancellationToken).ConfigureAwait(false);
                }
            }
        }
    }

    private static async Task WriteCommandAsync(string directory, string prefix, Sandbox sandbox, CancellationToken cancellationToken)
    {
        LauncherCommand command = LauncherCommand.Of(sandbox.Machine.LauncherPid);
        string arguments = string.Concat(command.Arguments.Select(static argument => argument + '\0'));
        await WriteAsync(directory, prefix + "argv", Encoding.UTF8.GetBytes(arguments), cancellationToken).ConfigureAwait(false);
        await WriteAsync(directory, prefix + "roles", Encoding.UTF8.GetBytes(string.Join('\n', command.Roles)), cancellationToken).ConfigureAwait(false);
    }

    private static Task WriteRequestAsync(string directory, string name, OpenRequest request, CancellationToken cancellationToken) =>
        WriteAsync(
            directory, name + ".json", JsonSerializer.SerializeToUtf8Bytes(request, ProtocolJsonContext.Default.OpenRequest), cancellationToken);

    private static Task WriteAsync(string directory, string name, byte[] content, CancellationToken cancellationToken) =>
        File.WriteAllBytesAsync(Path.Combine(directory, name), content, cancellationToken);
}
