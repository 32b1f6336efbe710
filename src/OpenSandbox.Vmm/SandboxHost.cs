using System.Collections.Concurrent;
using System.Security.Cryptography;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Golden;
using OpenSandbox.Vmm.Isolation;
using OpenSandbox.Vmm.Qemu;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm;

/// <summary>Makes sandboxes. One per process is enough; it owns the golden snapshot and every sandbox made from it.</summary>
/// <remarks>
/// Thread-safe. Sandboxes are attached: they end with this object, and with this process however it ends, and leave nothing on disk.
/// </remarks>
/// <example>
/// <code>
/// await using SandboxHost host = await SandboxHost.StartAsync();
/// await using Sandbox sandbox = await host.CreateAsync(new SandboxSpec());
/// Console.Write((await sandbox.ExecAsync(["uname", "-a"])).StandardOutput);
/// </code>
/// </example>
public sealed partial class SandboxHost : IAsyncDisposable
{
    private readonly VmmContext _context;
    private readonly GoldenImage _golden;
    private readonly GoldenLibrary _goldens;
    private readonly string _diskDirectory;
    private readonly ConcurrentDictionary<string, Sandbox> _sandboxes = new(StringComparer.Ordinal);
    private readonly CancellationTokenSource _closing = new();
    private readonly Lock _gate = new();
    private readonly HashSet<string> _ids = new(StringComparer.Ordinal);
    private readonly TaskCompletionSource _noneCreating = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _creating;
    private int _live; // sandboxes with a machine, or about to have one
    private Task? _disposed;

    private SandboxHost(VmmContext context, GoldenImage golden, string acceleratorReason)
    {
        _context = context;
        _golden = golden;
        _goldens = new GoldenLibrary(context, golden);
        Store = StateStore.Open(context.Options.StateDirectory);
        AcceleratorReason = acceleratorReason;
        context.Accelerator = golden.Manifest.Identity.Accelerator;
        Events = new Events.EventHub(context.Options.TimeProvider);
        Timers = new Expiry.TimerQueue<Sandbox>(context.Options.TimeProvider, static sandbox => sandbox.LookAtExpiry());
        Images = new SandboxImages(context.Options, context.Logger);
        _diskDirectory = Path.Combine(context.Options.StateDirectory, "disks");
        Directory.CreateDirectory(_diskDirectory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    /// <summary>How it works.</summary>
    public SandboxHostOptions Options => _context.Options;

    /// <summary>The golden snapshot that every sandbox starts from.</summary>
    public GoldenImage Golden => _golden;

    /// <summary>The accelerator in use: <c>kvm</c> or <c>tcg</c>.</summary>
    public string Accelerator => _golden.Manifest.Identity.Accelerator;

    /// <summary>Why this accelerator is in use, for people.</summary>
    public string AcceleratorReason { get; }

    /// <summary>The root file system images.</summary>
    public SandboxImages Images { get; }

    /// <summary>How the gateway of a sandbox works.</summary>
    internal EgressGatewayOptions GatewayOptions(SandboxSpec spec) => new()
    {
        Limits = spec.EgressLimits,
        TimeProvider = Options.TimeProvider,
        DnsServers = Options.DnsServers,
    };

    internal ILogger Logger => _context.Logger;

    internal VmmContext Context => _context;

    /// <summary>Finds out what the host can do, and loads the golden snapshot or builds it (seconds, once).</summary>
    /// <param name="options">Default: see <see cref="SandboxHostOptions"/>.</param>
    /// <param name="loggers">Default: nothing is logged.</param>
    /// <param name="cancellationToken">Ends what has been started and leaves nothing behind.</param>
    /// <returns>A host that is ready to make sandboxes.</returns>
    /// <exception cref="HostPrerequisiteException">Something is missing on the host; the message says what to do.</exception>
    /// <exception cref="SandboxIsolationException">What <see cref="SandboxHostOptions.Isolation"/> requires cannot be had here.</exception>
    /// <exception cref="GoldenImageException">The golden snapshot could not be made.</exception>
    /// <exception cref="SandboxStartException">The guest does not boot.</exception>
    public static async Task<SandboxHost> StartAsync(
        SandboxHostOptions? options = null, ILoggerFactory? loggers = null, CancellationToken cancellationToken = default)
    {
        options ??= new SandboxHostOptions();
        options.Validate();
        long started = options.TimeProvider.GetTimestamp();
        VmmContext? context = null;
        GoldenImage? golden = null;
        try
        {
            Directory.CreateDirectory(options.StateDirectory);
            context = new VmmContext(options, loggers ?? NullLoggerFactory.Instance);
            bool isRoot = Interop.Libc.GetEffectiveUserId() == 0;
            Jail.EnsurePossible(null, options.Isolation, isRoot, context.Cgroups);
            if (isRoot && options.Isolation.Level is null)
            {
                context.FullJailWorks = await JailProbe.FullWorksAsync(options, context.Processes, cancellationToken).ConfigureAwait(false);
            }

            QemuFacts qemu = await QemuProbe.RunAsync(context, cancellationToken).ConfigureAwait(false);
            (golden, string reason) = await GoldenSelector.GetAsync(context, qemu, cancellationToken).ConfigureAwait(false);
            var host = new SandboxHost(context, golden, reason);
            host.StartPools();
            Telemetry.SandboxMetrics.Add(host);
            VmmLog.HostStarted(
                context.Logger,
                host.Accelerator,
                qemu.Version,
                golden.Key,
                (long)options.TimeProvider.GetElapsedTime(started).TotalMilliseconds);
            context = null;
            golden = null;
            return host;
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new HostPrerequisiteException(
                $"the host could not be started: {failure.Message}",
                $"State is kept in {options.StateDirectory} and {options.RuntimeDirectory}: both must be writable and have room "
                    + "(SandboxHostOptions.StateDirectory, RuntimeDirectory)",
                failure);
        }
        finally
        {
            golden?.Close();
            context?.Dispose();
        }
    }

    /// <summary>Makes a sandbox. It is ready when this returns: a command would run at once.</summary>
    /// <param name="spec">What it is made of. Default: see <see cref="SandboxSpec"/>.</param>
    /// <param name="cancellationToken">The VM is gone before the cancellation surfaces.</param>
    /// <returns>The sandbox; dispose it.</returns>
    /// <exception cref="SandboxImageException">There is no such image.</exception>
    /// <exception cref="SandboxCapacityException">The host is full.</exception>
    /// <exception cref="SandboxIsolationException">A required control is missing; nothing has run without it.</exception>
    /// <exception cref="SandboxStartException">The VM or its guest failed; nothing is left of it.</exception>
    /// <exception cref="SandboxTimeoutException">Not ready within <see cref="SandboxHostOptions.StartTimeout"/>; nothing is left of it.</exception>
    public async Task<Sandbox> CreateAsync(SandboxSpec? spec = null, CancellationToken cancellationToken = default) =>
        (await MakeAsync(spec ?? new SandboxSpec(), null, cancellationToken).ConfigureAwait(false)).Sandbox;

    /// <summary>
    /// Makes a sandbox and runs its first command, which is sent along with what wakes the guest up and so begins the moment the guest is
    /// ready: faster than <see cref="CreateAsync"/> and <c>ExecAsync</c> by a round trip
    /// into a guest that has just started.
    /// </summary>
    /// <param name="command">Program and arguments; no shell is involved.</param>
    /// <param name="spec">What the sandbox is made of. Default: see <see cref="SandboxSpec"/>.</param>
    /// <param name="options">How the command is run. Default: see <see cref="ExecOptions"/>.</param>
    /// <param name="cancellationToken">The VM is gone before the cancellation surfaces.</param>
    /// <returns>The sandbox, to be disposed, and the command's result; a non-zero exit code is no error.</returns>
    /// <exception cref="SandboxOperationException">The program could not be started; the sandbox has been ended.</exception>
    /// <exception cref="SandboxException">As for creating and running; nothing is left of the sandbox.</exception>
    public async Task<SandboxFirstExec> CreateAndExecAsync(
        IReadOnlyList<string> command,
        SandboxSpec? spec = null,
        ExecOptions? options = null,
        CancellationToken cancellationToken = default)
    {
        GuestText.ValidateArguments(command, nameof(command));
        options ??= ExecOptions.Default;
        options.Validate();
        OpenRequest request = Sandbox.DescribeExec(command, options, options.StandardInput is not null);
        (Sandbox sandbox, GuestStream? stream) = await MakeAsync(spec ?? new SandboxSpec(), request, cancellationToken).ConfigureAwait(false);
        try
        {
            using Expiry.SandboxUse use = sandbox.UseNow();
            return new SandboxFirstExec(
                sandbox, await sandbox.CollectAsync(stream!, command[0], options, cancellationToken).ConfigureAwait(false));
        }
        catch
        {
            await sandbox.DeleteAsync(CancellationToken.None).ConfigureAwait(false);
            throw;
        }
    }

    private Task<(Sandbox Sandbox, GuestStream? First)> MakeAsync(SandboxSpec spec, OpenRequest? first, CancellationToken cancellationToken) =>
        Telemetry.Operation.Create.RunAsync(
            null,
            () => MakeNowAsync(spec, first, cancellationToken),
            static (made, activity, tags) =>
            {
                activity?.SetTag("sandbox.id", made.Sandbox.Id);
                tags.Add(Telemetry.SandboxMetrics.Tag("start.kind", made.Sandbox.IsFromPool ? "pool" : "restore"));
            });

    private async Task<(Sandbox Sandbox, GuestStream? First)> MakeNowAsync(
        SandboxSpec spec, OpenRequest? first, CancellationToken cancellationToken)
    {
        spec.Validate(Options);

        // What the host requires now is kept with the sandbox: another host that requires less is not to wake it with less.
        spec = spec with { Isolation = Options.Isolation.And(spec.Isolation).And(spec.HostCpuMaxPercent is null ? null : Jail.WithCpuLimit) };
        Jail.EnsurePossible(null, spec.Isolation, Interop.Libc.GetEffectiveUserId() == 0, _context.Cgroups);
        cancellationToken.ThrowIfCancellationRequested();
        EnsureMemory(spec.MemoryMib ?? Options.BaseMemoryMib);
        string id = Reserve();
        bool made = false;
        try
        {
            long started = Options.TimeProvider.GetTimestamp();
            (Sandbox Sandbox, GuestStream? First) result = await CreateNewAsync(id, spec, first, cancellationToken).ConfigureAwait(false);
            made = true;
            result.Sandbox.Tell(SandboxEventKind.Ready);
            VmmLog.SandboxStarted(Logger, id, (long)Options.TimeProvider.GetElapsedTime(started).TotalMilliseconds);
            return result;
        }
        catch (IOException failure)
        {
            throw new SandboxStartException(id, "preparing the sandbox", failure.Message, "", failure);
        }
        finally
        {
            Release(made ? null : id);
        }
    }

    /// <summary>The sandboxes that exist now.</summary>
    /// <returns>A snapshot, in no particular order.</returns>
    public IReadOnlyList<Sandbox> List() => [.. _sandboxes.Values];

    /// <summary>Finds a sandbox of this host.</summary>
    /// <param name="id">Its id.</param>
    /// <param name="sandbox">The sandbox, if there is one.</param>
    /// <returns>Whether there is one.</returns>
    public bool TryGet(string id, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out Sandbox? sandbox) =>
        _sandboxes.TryGetValue(id, out sandbox);

    /// <summary>Ends all sandboxes and waits until nothing of them is left.</summary>
    /// <returns>When everything is gone. Never fails; more calls wait for the same end.</returns>
    public ValueTask DisposeAsync()
    {
        lock (_gate)
        {
            if (_disposed is null)
            {
                if (_creating == 0)
                {
                    _noneCreating.TrySetResult();
                }

                _disposed = CloseAsync();
            }
        }

        return new ValueTask(_disposed);
    }

    internal void Forget(Sandbox sandbox)
    {
        lock (_gate)
        {
            if (_sandboxes.TryRemove(KeyValuePair.Create(sandbox.Id, sandbox)))
            {
                _ids.Remove(sandbox.Id);
                _egressGone += Telemetry.EgressTotals.Of(sandbox.Network.Statistics);
            }
        }
    }

    /// <summary>Takes a place and an id for a sandbox that is going to be made.</summary>
    private string Reserve()
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed is not null, this);
            CountMachine();
            string id;
            do
            {
                id = NewId();
            }
            while (Store.SandboxExists(id) || !_ids.Add(id)); // hibernated sandboxes of other hosts have ids, too

            _creating++;
            return id;
        }
    }

    /// <summary>A sandbox has no machine any more.</summary>
    internal void Left()
    {
        lock (_gate)
        {
            _live--;
        }
    }

    /// <summary>Starts a machine of a sandbox that exists, and counts it.</summary>
    /// <exception cref="SandboxCapacityException">There are too many.</exception>
    internal async Task<T> CountingAsync<T>(Func<Task<T>> start)
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed is not null, this);
            CountMachine();
        }

        bool started = false;
        try
        {
            T result = await start().ConfigureAwait(false);
            started = true;
            return result;
        }
        finally
        {
            if (!started)
            {
                Left();
            }
        }
    }

    /// <summary>Counts a machine that is going to be started. The gate is held.</summary>
    /// <exception cref="SandboxCapacityException">There are too many.</exception>
    private void CountMachine()
    {
        if (_live >= Options.MaxSandboxes)
        {
            throw new SandboxCapacityException(
                $"{Options.MaxSandboxes} sandboxes run already; end or hibernate some, or raise SandboxHostOptions.MaxSandboxes");
        }

        _live++;
    }

    /// <summary>A creation has ended, and with it the id's if it failed.</summary>
    private void Release(string? failedId)
    {
        lock (_gate)
        {
            if (failedId is not null)
            {
                _ids.Remove(failedId);
                _live--;
            }

            if (--_creating == 0 && _disposed is not null)
            {
                _noneCreating.TrySetResult();
            }
        }
    }

    /// <summary>
    /// Refuses a sandbox, or growth, that the host has no memory for. What counts is what is available now, not what the sandboxes were
    /// promised: they take memory only as their guests write.
    /// </summary>
    /// <exception cref="SandboxCapacityException">There is no room.</exception>
    internal void EnsureMemory(int memoryMib)
    {
        (long total, long available) = _context.Memory.Read();
        long wanted = (long)memoryMib << 20;
        if (wanted > total)
        {
            throw new SandboxCapacityException(
                $"the sandbox asks for {wanted >> 20} MiB of memory and the host has {total >> 20} MiB; ask for less (SandboxSpec.MemoryMib)");
        }

        if (available < (long)Options.HostMemoryReserveMib << 20)
        {
            throw new SandboxCapacityException(
                $"the host has {available >> 20} MiB of memory available, less than the {Options.HostMemoryReserveMib} MiB that are kept free; "
                    + "end some sandboxes, or lower SandboxHostOptions.HostMemoryReserveMib");
        }
    }

    private static string NewId()
    {
        Span<byte> random = stackalloc byte[4];
        RandomNumberGenerator.Fill(random);
        return $"sb-{Convert.ToHexStringLower(random)}";
    }

    private async Task CloseAsync()
    {
        await _closing.CancelAsync().ConfigureAwait(false);
        await Timers.DisposeAsync().ConfigureAwait(false);
        Task pools = ClosePoolsAsync();
        await _noneCreating.Task.ConfigureAwait(false);
        await Task.WhenAll(_sandboxes.Values.Select(static sandbox => sandbox.DisposeAsync().AsTask())).ConfigureAwait(false);
        await pools.ConfigureAwait(false);
        await Task.WhenAll(_expiries.Keys).ConfigureAwait(false);
        await Task.WhenAll(_background.Keys).ConfigureAwait(false);
        await _goldens.CloseAsync().ConfigureAwait(false);
        _context.Dispose();
        _closing.Dispose();
        _expiryTurns.Dispose();
        Events.Complete();
        Telemetry.SandboxMetrics.Remove(this);
    }
}
