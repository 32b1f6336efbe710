using System.Globalization;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Isolation;
using OpenSandbox.Vmm.Processes;

namespace OpenSandbox.Vmm.Qemu;

/// <content>From a launch to a process.</content>
internal sealed partial class VirtualMachine
{
    /// <summary>Starts QEMU in its jail. Returns once the process exists; the guest may not run for a while yet.</summary>
    /// <remarks>A detached VM ends with this process until <see cref="GetRecordAsync"/> has completed.</remarks>
    /// <exception cref="SandboxStartException">The launcher could not be started.</exception>
    /// <exception cref="HostPrerequisiteException">The runtime directory of a detached VM is too long.</exception>
    internal static async Task<VirtualMachine> StartAsync(VmmContext context, VmLaunch launch)
    {
        var pairs = new List<(Socket Ours, SafeFileHandle Theirs)>(8);
        UidPool.Lease? uid = null;
        HostProcess? launcher = null;
        VmRuntimeDirectory? directory = null;
        VmCgroup? cgroup = null;
        bool started = false;
        launch.Detached?.Validate();
        bool isRoot = Libc.GetEffectiveUserId() == 0;
        IsolationRequirement requirement = launch.Isolation ?? context.Options.Isolation;
        Jail.EnsurePossible(launch.Name, requirement, isRoot, context.Cgroups);
        IsolationLevel mode = Jail.ModeOf(requirement, isRoot, context.FullJailWorks);
        try
        {
            directory = launch.Detached is null ? null : VmRuntimeDirectory.Create(launch.Detached.RuntimeDirectory);
            (Socket output, SafeFileHandle outputEnd) = Pair();
            (Socket status, SafeFileHandle statusEnd) = Pair();
            (Socket qmp, SafeFileHandle qmpEnd) = Port(VmRuntimeDirectory.QmpSocket);
            (Socket control, SafeFileHandle controlEnd) = Port(VmRuntimeDirectory.ControlSocket);
            (Socket bulk, SafeFileHandle bulkEnd) = Port(VmRuntimeDirectory.BulkSocket);
            (Socket network, SafeFileHandle networkEnd) = Port(VmRuntimeDirectory.NetworkSocket);
            (Socket console, SafeFileHandle consoleEnd) = Port(VmRuntimeDirectory.ConsoleSocket);

            using SafeFileHandle nothing = Libc.Open("/dev/null", Libc.O_RDWR | Libc.O_CLOEXEC, 0);
            using SafeFileHandle? ownPluggedRam = launch.PluggedRam is null ? CreatePluggedRam(launch.Shape.PluggableBytes) : null;
            var descriptors = new VmDescriptors(nothing, outputEnd, statusEnd);
            var channels = new VmChannels(
                descriptors.Add(launch.Ram),
                descriptors.Add(launch.PluggedRam ?? ownPluggedRam!),
                descriptors.Add(qmpEnd),
                descriptors.Add(controlEnd),
                descriptors.Add(bulkEnd),
                descriptors.Add(networkEnd),
                descriptors.Add(consoleEnd),
                launch.Detached is null ? null : VmDetachment.NameOf(launch.Detached.Nonce));
            List<string> qemu = launch.BuildArguments(descriptors, channels);
            uid = isRoot ? context.Uids.Take() : null;
            cgroup = context.Cgroups.Create(FixedBytes(launch.Shape), launch.AllowedPluggedBytes, launch.HostCpuMaxPercent);
            Socket? tie = null;
            List<string> life;
            if (launch.Detached is null)
            {
                life = ["--attached", "--parent", Environment.ProcessId.ToString(CultureInfo.InvariantCulture)];
            }
            else
            {
                (tie, SafeFileHandle tieEnd) = Pair();
                life = ["--detach-fd", Number(descriptors.Add(tieEnd))];
                foreach (SafeHandle held in uid is null ? launch.Detached.Held : [uid.Lock, .. launch.Detached.Held])
                {
                    life.AddRange(["--hold", Number(descriptors.Add(held))]);
                }
            }

            List<string> arguments = LauncherArguments(
                context, launch.Shape, descriptors.Last, [.. life, .. Jail.Options(mode, requirement, cgroup)], uid);
            arguments.AddRange(qemu);
            launcher = await context.Processes
                .StartAsync(new HostProcessStart(context.LauncherPath, arguments, descriptors.Handles))
                .ConfigureAwait(false);

            GuestChannel channel = GuestChannel.Open(control, bulk, network, ChannelOptions(context, launch.Reconnect));
            started = true;
            return new VirtualMachine(
                context,
                launch,
                mode,
                cgroup,
                launcher,
                uid,
                new VmConnections(context, launch.Name, qmp, channel, console, output, status, tie),
                directory,
                launch.Detached?.Nonce);
        }
        catch (Exception failure) when (failure is IOException or SocketException or UnauthorizedAccessException)
        {
            throw new SandboxStartException(launch.Name, "starting the launcher", failure.Message, "", failure);
        }
        finally
        {
            foreach ((Socket ours, SafeFileHandle theirs) in pairs)
            {
                theirs.Dispose();
                if (!started)
                {
                    ours.Dispose();
                }
            }

            if (!started)
            {
                if (launcher is not null)
                {
                    // The uid goes back only when nothing runs under it any more.
                    launcher.Signal(Libc.SIGTERM);
                    await launcher.Exited.ConfigureAwait(false);
                }

                cgroup?.Remove();
                uid?.Dispose();
                directory?.Remove();
            }
        }

        (Socket Ours, SafeFileHandle Theirs) Pair() => Keep(SocketPairs.Create());

        (Socket Ours, SafeFileHandle Theirs) Port(string name) => directory is null ? Pair() : Keep(directory.Listen(name));

        (Socket Ours, SafeFileHandle Theirs) Keep((Socket Ours, SafeFileHandle Theirs) pair)
        {
            pairs.Add(pair);
            return pair;
        }
    }

    private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);

    private static List<string> LauncherArguments(VmmContext context, VmShape shape, int keep, List<string> life, UidPool.Lease? uid)
    {
        List<string> arguments =
        [
            context.LauncherPath,
            "--root", context.JailRoot,
            "--keep", Number(keep),
            "--nofile", Number(MaxDescriptors),
            "--status-fd", Number(VmDescriptors.StatusNumber),
            .. life,
        ];
        if (shape.Accelerator == "kvm")
        {
            arguments.Add("--kvm");
        }

        if (uid is not null)
        {
            // Also without a jail QEMU never runs as root.
            arguments.AddRange(["--uid", Number(uid.Uid), "--gid", Number(uid.Uid)]);
        }

        arguments.Add("--");
        return arguments;
    }

    private static GuestChannelOptions ChannelOptions(VmmContext context, bool reconnect) => new()
    {
        Epoch = NewEpoch(),
        Reconnect = reconnect,
        TimeProvider = context.Options.TimeProvider,
    };

    private static ulong NewEpoch()
    {
        Span<byte> bytes = stackalloc byte[sizeof(ulong)];
        ulong epoch;
        do
        {
            RandomNumberGenerator.Fill(bytes);
            epoch = BitConverter.ToUInt64(bytes);
        }
        while (!Preamble.IsValidEpoch(epoch));

        return epoch;
    }
}
