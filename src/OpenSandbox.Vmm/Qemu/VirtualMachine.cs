using System.Globalization;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Logging;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;
using OpenSandbox.Qmp;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Processes;

namespace OpenSandbox.Vmm.Qemu;

/// <summary>A QEMU process behind its launcher, with its sockets. Ends with this object, and with this process whatever ends that.</summary>
/// <remarks>Thread-safe.</remarks>
internal sealed partial class VirtualMachine : IAsyncDisposable
{
    private const int OutputCapacity = 16_384;
    private const int MaxStatusBytes = 4_096;

    private static readonly TimeSpan s_exitGrace = TimeSpan.FromSeconds(1);

    private readonly VmmContext _context;
    private readonly HostProcess _launcher;
    private readonly UidPool.Lease? _uid;
    private readonly BoundedOutput _output;
    private readonly BoundedOutput _console;
    private readonly Socket _qmpSocket;
    private readonly Socket _statusSocket;
    private readonly Task<string> _status;
    private readonly Lock _gate = new();
    private Task<QmpClient>? _qmp;
    private Task? _disposed;

    private VirtualMachine(
        VmmContext context,
        string name,
        HostProcess launcher,
        UidPool.Lease? uid,
        BoundedOutput output,
        BoundedOutput console,
        Socket qmpSocket,
        Socket statusSocket,
        GuestChannel channel)
    {
        _context = context;
        Name = name;
        _launcher = launcher;
        _uid = uid;
        _output = output;
        _console = console;
        _qmpSocket = qmpSocket;
        _statusSocket = statusSocket;
        Channel = channel;
        _status = ReadStatusAsync(statusSocket);
    }

    internal string Name { get; }

    /// <summary>The channel to the guest's agent. Its preamble has been written.</summary>
    internal GuestChannel Channel { get; }

    /// <summary>Completes when QEMU is gone and reaped. Never fails.</summary>
    internal Task<HostProcessExit> Exited => _launcher.Exited;

    internal int LauncherPid => _launcher.Pid;

    internal string StandardErrorTail => _output.Tail();

    internal string ConsoleTail => _console.Tail();

    /// <summary>Starts QEMU in its jail. Returns once the process exists; the guest may not run for a while yet.</summary>
    /// <exception cref="SandboxStartException">The launcher could not be started.</exception>
    internal static async Task<VirtualMachine> StartAsync(VmmContext context, VmLaunch launch)
    {
        var pairs = new List<(Socket Ours, SafeFileHandle Theirs)>(7);
        UidPool.Lease? uid = null;
        HostProcess? launcher = null;
        bool started = false;
        try
        {
            (Socket output, SafeFileHandle outputEnd) = Pair();
            (Socket status, SafeFileHandle statusEnd) = Pair();
            (Socket qmp, SafeFileHandle qmpEnd) = Pair();
            (Socket control, SafeFileHandle controlEnd) = Pair();
            (Socket bulk, SafeFileHandle bulkEnd) = Pair();
            (Socket network, SafeFileHandle networkEnd) = Pair();
            (Socket console, SafeFileHandle consoleEnd) = Pair();

            using SafeFileHandle nothing = Libc.Open("/dev/null", Libc.O_RDWR | Libc.O_CLOEXEC, 0);
            using SafeFileHandle pluggedRam = CreatePluggedRam(launch.Shape.PluggableBytes);
            var descriptors = new VmDescriptors(nothing, outputEnd, statusEnd);
            var channels = new VmChannels(
                descriptors.Add(launch.Ram),
                descriptors.Add(pluggedRam),
                descriptors.Add(qmpEnd),
                descriptors.Add(controlEnd),
                descriptors.Add(bulkEnd),
                descriptors.Add(networkEnd),
                descriptors.Add(consoleEnd));
            List<string> qemu = launch.BuildArguments(descriptors, channels);
            List<string> arguments = LauncherArguments(context, launch.Shape, descriptors, ref uid);
            arguments.AddRange(qemu);
            launcher = await context.Processes
                .StartAsync(new HostProcessStart(context.LauncherPath, arguments, descriptors.Handles))
                .ConfigureAwait(false);

            GuestChannel channel = GuestChannel.Open(control, bulk, network, new GuestChannelOptions
            {
                Epoch = NewEpoch(),
                TimeProvider = context.Options.TimeProvider,
            });
            started = true;
            return new VirtualMachine(
                context,
                launch.Name,
                launcher,
                uid,
                new BoundedOutput(output, OutputCapacity),
                new BoundedOutput(console, OutputCapacity),
                qmp,
                status,
                channel);
        }
        catch (IOException failure)
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

                uid?.Dispose();
            }
        }

        (Socket Ours, SafeFileHandle Theirs) Pair()
        {
            pairs.Add(SocketPairs.Create());
            return pairs[^1];
        }
    }

    /// <summary>QEMU's process id as this process sees it, for /proc.</summary>
    /// <exception cref="SandboxStartException">The launcher failed before or at the start of QEMU.</exception>
    internal async Task<int> GetQemuPidAsync(CancellationToken cancellationToken)
    {
        string status = await _status.WaitAsync(cancellationToken).ConfigureAwait(false);
        foreach (string line in status.Split('\n'))
        {
            if (line.StartsWith("pid ", StringComparison.Ordinal)
                && int.TryParse(line.AsSpan(4), NumberStyles.None, CultureInfo.InvariantCulture, out int pid))
            {
                return pid;
            }
        }

        throw new SandboxStartException(Name, "starting QEMU", DescribeStatus(status), StandardErrorTail);
    }

    /// <summary>The monitor; connected on first use, once.</summary>
    internal Task<QmpClient> GetQmpAsync()
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed is not null, this);
            return _qmp ??= QmpClient.ConnectAsync(
                _qmpSocket, new QmpClientOptions(), _context.Loggers.CreateLogger("OpenSandbox.Qmp"), CancellationToken.None);
        }
    }

    /// <summary>Why QEMU ended, as far as launcher, exit status and messages tell.</summary>
    internal async Task<SandboxExit> DescribeExitAsync()
    {
        HostProcessExit exit = await Exited.ConfigureAwait(false);

        // Their other ends are closed by now, unless a hostile QEMU sent itself a copy over a socket that nobody reads: hence the bound.
        string status = await EndOrGraceAsync(_status).ConfigureAwait(false) ? await _status.ConfigureAwait(false) : "";
        await EndOrGraceAsync(Task.WhenAll(_output.Ended, _console.Ended)).ConfigureAwait(false);
        bool neverStarted = exit.ExitCode == LauncherFailure && status.Contains("error ", StringComparison.Ordinal);
        (SandboxExitReason reason, string text) = exit switch
        {
            _ when neverStarted => (SandboxExitReason.VmmEnded, $"its launcher failed: {DescribeStatus(status)}"),
            { ExitCode: 0 } => (SandboxExitReason.GuestEnded, "its guest shut down, rebooted or panicked"),
            { ExitCode: > 128 and < 193 } => (SandboxExitReason.VmmEnded, $"QEMU was ended by signal {exit.ExitCode - 128}"),
            _ => (SandboxExitReason.VmmEnded, $"QEMU ended with {exit}"),
        };
        return new SandboxExit(reason, text, StandardErrorTail, ConsoleTail);
    }

    /// <summary>Like <see cref="DescribeExitAsync"/>, if QEMU is gone or about to go: sockets close a moment before it can be reaped.</summary>
    internal async Task<SandboxExit?> TryDescribeExitAsync()
    {
        return await EndOrGraceAsync(Exited).ConfigureAwait(false) ? await DescribeExitAsync().ConfigureAwait(false) : null;
    }

    /// <summary>Ends QEMU at once and waits until it is gone.</summary>
    public ValueTask DisposeAsync()
    {
        lock (_gate)
        {
            _disposed ??= EndAsync();
        }

        return new ValueTask(_disposed);
    }

    private const int LauncherFailure = 125;

    private async Task<bool> EndOrGraceAsync(Task end)
    {
        try
        {
            await end.WaitAsync(s_exitGrace, _context.Options.TimeProvider).ConfigureAwait(false);
            return true;
        }
        catch (TimeoutException)
        {
            return false;
        }
    }

    private static List<string> LauncherArguments(VmmContext context, VmShape shape, VmDescriptors descriptors, ref UidPool.Lease? uid)
    {
        List<string> arguments =
        [
            context.LauncherPath,
            "--root", context.JailRoot,
            "--keep", descriptors.Last.ToString(CultureInfo.InvariantCulture),
            "--status-fd", VmDescriptors.StatusNumber.ToString(CultureInfo.InvariantCulture),
            "--attached",
            "--parent", Environment.ProcessId.ToString(CultureInfo.InvariantCulture),
        ];
        if (shape.Accelerator == "kvm")
        {
            arguments.Add("--kvm");
        }

        arguments.AddRange(["--isolation", context.Options.Isolation == IsolationLevel.Full ? "full" : "none"]);
        if (Libc.GetEffectiveUserId() == 0)
        {
            // Also without a jail QEMU never runs as root.
            uid = context.Uids.Take();
            string id = uid.Uid.ToString(CultureInfo.InvariantCulture);
            arguments.AddRange(["--uid", id, "--gid", id]);
        }

        arguments.Add("--");
        return arguments;
    }

    /// <summary>
    /// An empty file in memory for hot-plugged RAM: it takes memory only as the guest writes, reserves no swap, and its pages can be found
    /// without looking into QEMU.
    /// </summary>
    private static SafeFileHandle CreatePluggedRam(long bytes)
    {
        SafeFileHandle file = Libc.MemfdCreate("opensandbox-plugged", Libc.MFD_CLOEXEC | Libc.MFD_ALLOW_SEALING);
        if (file.IsInvalid || Libc.FTruncate(file, bytes) != 0
            || Libc.Fcntl(file, Libc.F_ADD_SEALS, Libc.F_SEAL_SEAL | Libc.F_SEAL_SHRINK | Libc.F_SEAL_GROW) != 0)
        {
            throw Errno.LastError($"memfd_create of {bytes} bytes for hot-plugged RAM");
        }

        return file;
    }

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

    private static string DescribeStatus(string status)
    {
        foreach (string line in status.Split('\n'))
        {
            if (line.StartsWith("error ", StringComparison.Ordinal))
            {
                return line["error ".Length..];
            }
        }

        return "the launcher ended without a report";
    }

    /// <summary>Reads the launcher's report to its end, which is QEMU's exec or the launcher's death.</summary>
    private static async Task<string> ReadStatusAsync(Socket socket)
    {
        var text = new StringBuilder();
        byte[] buffer = new byte[256];
        try
        {
            int count;
            while (text.Length < MaxStatusBytes && (count = await socket.ReceiveAsync(buffer).ConfigureAwait(false)) > 0)
            {
                text.Append(Encoding.ASCII.GetString(buffer, 0, count));
            }
        }
        catch (Exception closed) when (closed is SocketException or ObjectDisposedException)
        {
            text.Append(CultureInfo.InvariantCulture, $"\nerror status: {closed.Message}");
        }
        finally
        {
            socket.Dispose();
        }

        return text.ToString();
    }

    private async Task EndAsync()
    {
        // SIGTERM asks the launcher to kill QEMU and to wait for it, so that its exit means that both are gone.
        _launcher.Signal(Libc.SIGTERM);
        try
        {
            await Exited.WaitAsync(_context.Options.KillTimeout, _context.Options.TimeProvider).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            VmmLog.LauncherDidNotEnd(_context.Logger, Name, LauncherPid);
            _launcher.Signal(Libc.SIGKILL);
            await Exited.ConfigureAwait(false);
        }

        await Channel.DisposeAsync().ConfigureAwait(false);
        if (_qmp is Task<QmpClient> connecting)
        {
            try
            {
                QmpClient client = await connecting.ConfigureAwait(false);
                await client.DisposeAsync().ConfigureAwait(false);
            }
            catch (QmpException failure)
            {
                VmmLog.MonitorFailed(_context.Logger, Name, failure);
            }
        }

        _qmpSocket.Dispose();
        _statusSocket.Dispose();
        await _status.ConfigureAwait(false);
        await _output.DisposeAsync().ConfigureAwait(false);
        await _console.DisposeAsync().ConfigureAwait(false);
        _uid?.Dispose();
    }
}
