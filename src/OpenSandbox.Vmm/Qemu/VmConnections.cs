using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using OpenSandbox.Qmp;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Processes;

namespace OpenSandbox.Vmm.Qemu;

/// <summary>This process's ends of everything that leads to one VM.</summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class VmConnections : IAsyncDisposable
{
    private const int OutputCapacity = 16_384;
    private readonly VmmContext _context;
    private readonly Socket? _qmpSocket;
    private readonly Lock _gate = new();
    private Task<QmpClient>? _qmp;
    private bool _disposed;

    /// <summary>Of a VM that this process has started.</summary>
    internal VmConnections(VmmContext context, string name, Socket qmp, GuestChannel channel, Socket console, Socket output, Socket status, Socket? tie)
    {
        _context = context;
        Name = name;
        _qmpSocket = qmp;
        Channel = channel;
        Console = new BoundedOutput(console, OutputCapacity);
        Output = new BoundedOutput(output, OutputCapacity);
        Report = new LauncherReport(status);
        Tie = tie;
    }

    /// <summary>Of a VM that has been adopted: what QEMU prints has no reader any more.</summary>
    internal VmConnections(VmmContext context, string name, QmpClient qmp, GuestChannel channel, Socket console)
    {
        _context = context;
        Name = name;
        _qmp = Task.FromResult(qmp);
        Channel = channel;
        Console = new BoundedOutput(console, OutputCapacity);
        ShutdownByGuest = WatchShutdownAsync(qmp.Subscribe("SHUTDOWN"));
    }

    /// <summary>Whose they are, for messages.</summary>
    internal string Name { get; set; }

    internal GuestChannel Channel { get; }

    internal BoundedOutput Console { get; }

    /// <summary>QEMU's and the launcher's messages; null of an adopted VM.</summary>
    internal BoundedOutput? Output { get; }

    /// <summary>The launcher's report of the start; null of an adopted VM.</summary>
    internal LauncherReport? Report { get; }

    /// <summary>A byte here, and the launcher no longer minds the end of this process; null of any but a detached VM that was started here.</summary>
    internal Socket? Tie { get; }

    /// <summary>
    /// Whether the guest was the one to end the VM, known when the monitor's connection has ended; null if this process, as the parent, is
    /// told better.
    /// </summary>
    internal Task<bool>? ShutdownByGuest { get; }

    /// <summary>The monitor; connected on first use, once.</summary>
    internal Task<QmpClient> GetQmpAsync()
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return _qmp ??= QmpClient.ConnectAsync(
                _qmpSocket!, new QmpClientOptions(), _context.Loggers.CreateLogger("OpenSandbox.Qmp"), CancellationToken.None);
        }
    }

    /// <summary>No more connecting to the monitor from here on.</summary>
    internal void Seal()
    {
        lock (_gate)
        {
            _disposed = true;
        }
    }

    /// <summary>Closes all of them, and waits until they are closed.</summary>
    public async ValueTask DisposeAsync()
    {
        Seal();
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

        _qmpSocket?.Dispose();
        Tie?.Dispose();
        if (Report is not null)
        {
            await Report.DisposeAsync().ConfigureAwait(false);
        }

        if (Output is not null)
        {
            await Output.DisposeAsync().ConfigureAwait(false);
        }

        await Console.DisposeAsync().ConfigureAwait(false);
        if (ShutdownByGuest is not null)
        {
            await ShutdownByGuest.ConfigureAwait(false);
        }
    }

    private static async Task<bool> WatchShutdownAsync(QmpEventSubscription shutdowns)
    {
        using (shutdowns)
        {
            try
            {
                QmpEvent shutdown = await shutdowns.ReadAsync().ConfigureAwait(false);
                return shutdown.Data.ValueKind == System.Text.Json.JsonValueKind.Object
                    && shutdown.Data.TryGetProperty("guest", out System.Text.Json.JsonElement byGuest)
                    && byGuest.ValueKind == System.Text.Json.JsonValueKind.True;
            }
            catch (QmpConnectionException)
            {
                return false; // QEMU ended without a word, or this process closed the connection
            }
        }
    }
}
