using System.Diagnostics.CodeAnalysis;
using OpenSandbox.Qmp;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Golden;
using OpenSandbox.Vmm.Lifecycle;
using OpenSandbox.Vmm.Qemu;

namespace OpenSandbox.Vmm;

/// <summary>Changes the limits of one running sandbox: one change at a time, each carried through once it has begun.</summary>
/// <remarks>
/// Memory comes in this order: the device is given more, the guest has it online, the limit of its processes is raised. It goes in the
/// opposite order, after the guest has said that its processes hold less. Whatever a change fails with, afterwards the device is asked for
/// what it has, and the limits are those of that; where even this fails, the next change begins with it.
/// </remarks>
[SuppressMessage("Reliability", "CA1001", Justification = "a semaphore without a wait handle holds nothing that needs to be released")]
internal sealed partial class SandboxResizer
{
    private const int Mebi = 20;
    private const long PageBytes = 4_096; // the kernel counts in pages
    private const string SizeChanged = "MEMORY_DEVICE_SIZE_CHANGE"; // QEMU sends it at most once a second

    private readonly Sandbox _sandbox;
    private readonly SandboxHost _host;
    private readonly VirtualMachine _vm;
    private readonly GoldenReference _golden;
    private readonly SemaphoreSlim _turn = new(1, 1);
    private SandboxLimits _limits;
    private int? _unsettledMib; // while limits and memory may differ: the size in force if nothing is plugged in. Only in turn.

    internal SandboxResizer(Sandbox sandbox, SandboxHost host, SandboxRun run, SandboxLimits? limits)
    {
        _sandbox = sandbox;
        _host = host;
        _vm = run.Machine;
        _golden = run.Golden;
        _limits = limits ?? LimitsOf(sandbox.Spec, run, host.Options);
    }

    /// <summary>The limits of a machine that has been made anew.</summary>
    internal static SandboxLimits LimitsOf(SandboxSpec spec, SandboxRun run, SandboxHostOptions options)
    {
        int memory = spec.MemoryMib ?? run.Golden.Shape.BaseMemoryMib;
        return new SandboxLimits
        {
            MemoryMib = memory,
            MemoryMaxBytes = Math.Min(ProcessBytes((long)memory << Mebi), ProcessBytes(run.Resumed.MemoryBytes)),
            CpuPercent = spec.CpuMaxPercent ?? 80 * options.VcpuCount,
            PidsMax = spec.PidsMax,
            GuestMemoryBytes = run.Resumed.MemoryBytes,
        };
    }

    /// <summary>As last set or asked for.</summary>
    internal SandboxLimits Limits => Volatile.Read(ref _limits);

    private int BaseMib => _golden.Shape.BaseMemoryMib;

    private SandboxHostOptions Options => _host.Options;

    /// <summary>What processes may use of so much memory: the rest is the kernel's and the agent's. The guest takes less if it has less.</summary>
    internal static long ProcessBytes(long bytes) => bytes / 100 * 90 & ~(PageBytes - 1);

    /// <summary>The CPU limit that is in force for what was asked for.</summary>
    internal static int EffectiveCpuPercent(int? asked, int memoryMib, int vcpus) =>
        Math.Clamp(asked ?? (int)((long)memoryMib * 100 / 1024), 1, 100 * vcpus);

    /// <summary>Asks the guest. The deadline includes the wait for a change that is being carried out.</summary>
    internal async Task<SandboxLimits> AskAsync(CancellationToken cancellationToken)
    {
        const string what = "asking for limits";
        using CancellationTokenSource deadline = Deadlines.Start(Options.RequestTimeout, Options.TimeProvider, cancellationToken);
        try
        {
            await _turn.WaitAsync(deadline.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException late)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw new SandboxTimeoutException(_sandbox.Id, what, Options.RequestTimeout, late);
        }

        try
        {
            return Remember(
                Limits.MemoryMib, await CallAsync(new LimitsRequest(), what, deadline.Token, cancellationToken).ConfigureAwait(false));
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Keeps changes away while the sandbox is saved: what it has then must be one of the states between two changes.</summary>
    /// <param name="cancellationToken">Stops waiting for a change that is being carried out.</param>
    /// <returns>Dispose it to let changes begin again.</returns>
    internal async Task<IDisposable> HoldAsync(CancellationToken cancellationToken)
    {
        await _turn.WaitAsync(cancellationToken).ConfigureAwait(false);
        return new Hold(_turn);
    }

    /// <summary>Hot-plugged memory that the device has, as last settled, bytes.</summary>
    internal long PluggedNow => PluggedBytes(Limits.MemoryMib);

    /// <summary>Carries a change out.</summary>
    internal async Task<SandboxLimits> ResizeAsync(SandboxResize resize, CancellationToken cancellationToken)
    {
        await _turn.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            _sandbox.EnsureRunning();
            return await ChangeAsync(resize, cancellationToken).ConfigureAwait(false);
        }
        catch (QmpCommandException refused)
        {
            throw new SandboxOperationException(
                SandboxErrorCode.OperationFailed, _sandbox.Id, 0, $"sandbox {_sandbox.Id}: changing its memory: {refused.Message}", refused);
        }
        catch (Exception late) when (late is QmpTimeoutException or TimeoutException)
        {
            throw new SandboxTimeoutException(_sandbox.Id, "changing its memory", Options.RequestTimeout, late);
        }
        catch (Exception gone) when (gone is QmpException or ObjectDisposedException)
        {
            throw new SandboxLostException(_sandbox.Id, await _sandbox.GetExitAsync(gone).ConfigureAwait(false), gone);
        }
        finally
        {
            _turn.Release();
        }
    }

    private async Task<SandboxLimits> ChangeAsync(SandboxResize resize, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (_unsettledMib is int bare)
        {
            await SettleAsync(bare, new GuestLimits()).ConfigureAwait(false);
        }

        SandboxLimits before = Limits;
        int memory = resize.MemoryMib ?? before.MemoryMib;
        GuestLimits limits = LimitsOf(resize, memory, Options.VcpuCount);
        if (memory > before.MemoryMib)
        {
            _host.EnsureMemory(memory);
        }

        long pluggedBefore = PluggedBytes(before.MemoryMib);
        long plugged = PluggedBytes(memory);
        cancellationToken.ThrowIfCancellationRequested();
        _unsettledMib = before.MemoryMib;
        try
        {
            SandboxLimits now = plugged > pluggedBefore ? await GrowAsync(memory, limits).ConfigureAwait(false)
                : plugged < pluggedBefore ? await ShrinkAsync(memory, limits, pluggedBefore - plugged).ConfigureAwait(false)
                : await LimitAsync(memory, limits).ConfigureAwait(false);
            _unsettledMib = null;
            return now;
        }
        catch (SandboxMemoryInUseException)
        {
            _unsettledMib = null; // nothing was changed
            throw;
        }
        catch (Exception failure) when (MayHaveChangedSomething(failure))
        {
            await TrySettleAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>The request with which the guest waits for memory; the performance harness sends the same.</summary>
    internal static OpenRequest DescribeGrow(SandboxResize resize, int memoryMib, SandboxHost host) => new()
    {
        Op = Operations.Limits,
        Limits = Growth(
            LimitsOf(resize, memoryMib, host.Options.VcpuCount), (long)(memoryMib - host.Golden.Shape.BaseMemoryMib) << Mebi),
    };

    private static LimitsRequest Growth(GuestLimits limits, long plugged) => new() { Limits = limits, PluggedMemoryBytes = plugged };

    private static GuestLimits LimitsOf(SandboxResize resize, int memoryMib, int vcpus) => new()
    {
        PidsMax = resize.PidsMax,
        CpuMaxPercent = resize.CpuPercent is null && resize.MemoryMib is null ? null : EffectiveCpuPercent(resize.CpuPercent, memoryMib, vcpus),
        MemoryMaxBytes = resize.MemoryMib is null ? null : ProcessBytes((long)memoryMib << Mebi),
    };

    private long PluggedBytes(int memoryMib) => Math.Max(0, (long)(memoryMib - BaseMib) << Mebi);

    private async Task<SandboxLimits> LimitAsync(int memory, GuestLimits limits)
    {
        var request = new LimitsRequest { Limits = limits, RefuseMemoryInUse = limits.MemoryMaxBytes < Limits.MemoryMaxBytes };
        LimitsResult result = await CallAsync(request, "setting limits").ConfigureAwait(false);
        return result.Done ? Remember(memory, result) : throw InUse(memory, result);
    }

    private async Task<SandboxLimits> GrowAsync(int memory, GuestLimits limits)
    {
        QmpClient qmp = await GetMonitorAsync().ConfigureAwait(false);
        long plugged = PluggedBytes(memory);

        AllowPlugged(plugged);

        // The guest listens before the device offers anything, or sees that it is there already: no round trip goes before the other.
        Task<LimitsResult?> follows = FollowAsync(Growth(limits, plugged));
        try
        {
            await RequestAsync(qmp, plugged).ConfigureAwait(false);
        }
        catch
        {
            await ((Task)follows).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing); // ends by itself when no memory comes
            throw;
        }

        return await follows.ConfigureAwait(false) is { Done: true } result
            ? Remember(memory, result)
            : throw Incomplete(memory, await SettleAsync(memory, limits).ConfigureAwait(false));
    }

    private async Task<SandboxLimits> ShrinkAsync(int memory, GuestLimits limits, long removed)
    {
        QmpClient qmp = await GetMonitorAsync().ConfigureAwait(false);
        long plugged = PluggedBytes(memory);
        var check = new LimitsRequest { Limits = limits, RefuseMemoryInUse = true, RemovedMemoryBytes = removed };
        LimitsResult lowered = await CallAsync(check, "lowering the memory limit").ConfigureAwait(false);
        if (!lowered.Done)
        {
            throw InUse(memory, lowered);
        }

        Remember(Limits.MemoryMib, lowered); // in force from here on, whatever comes of the rest
        _unsettledMib = memory;
        using QmpEventSubscription changes = qmp.Subscribe(SizeChanged);
        Task<LimitsResult?> follows = FollowAsync(new LimitsRequest { PluggedMemoryBytes = plugged }, afterwards: () => RequestAsync(qmp, plugged));
        bool gone = await follows.ConfigureAwait(false) is { Done: true }
            && await IsGivenBackAsync(qmp, changes, plugged).ConfigureAwait(false);
        LimitsResult result = await CallAsync(new LimitsRequest(), "asking for limits").ConfigureAwait(false);
        return gone ? Remember(memory, result) : throw Incomplete(memory, await SettleAsync(memory, limits).ConfigureAwait(false));
    }

    /// <summary>The guest stops using memory a moment before it tells the device.</summary>
    private async Task<bool> IsGivenBackAsync(QmpClient qmp, QmpEventSubscription changes, long plugged)
    {
        using var deadline = new CancellationTokenSource(Options.RequestTimeout, Options.TimeProvider);
        try
        {
            while (await PluggedNowAsync(qmp).ConfigureAwait(false) > plugged)
            {
                await changes.ReadAsync(deadline.Token).ConfigureAwait(false);
            }

            return true;
        }
        catch (OperationCanceledException) when (deadline.IsCancellationRequested)
        {
            return false;
        }
    }

    private async Task<QmpClient> GetMonitorAsync() =>
        await _vm.GetQmpAsync().WaitAsync(Options.RequestTimeout, Options.TimeProvider).ConfigureAwait(false);

    private static Task RequestAsync(QmpClient qmp, long bytes) =>
        qmp.QomSetAsync(QemuCommandLine.MemoryDevicePath, "requested-size", bytes, CancellationToken.None);

    /// <summary>Lets the guest wait until its memory has become what it should be.</summary>
    /// <returns>What it reports, or <see langword="null"/> when it took too long.</returns>
    private async Task<LimitsResult?> FollowAsync(LimitsRequest request, Func<Task>? afterwards = null)
    {
        using var deadline = new CancellationTokenSource(Options.ResizeTimeout, Options.TimeProvider);
        GuestStream stream = await OpenAsync(request).ConfigureAwait(false);
        try
        {
            if (afterwards is not null)
            {
                await afterwards().ConfigureAwait(false);
            }

            return await stream.GetResultAsync(ProtocolJsonContext.Default.LimitsResult, deadline.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (deadline.IsCancellationRequested)
        {
            return null;
        }
        catch (Exception failure) when (GuestErrors.Concerns(failure))
        {
            throw await GuestErrors.TranslateAsync(_sandbox, "changing its memory", failure).ConfigureAwait(false);
        }
        finally
        {
            await stream.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>One request that is carried through.</summary>
    private async Task<LimitsResult> CallAsync(LimitsRequest request, string what)
    {
        using var deadline = new CancellationTokenSource(Options.RequestTimeout, Options.TimeProvider);
        return await CallAsync(request, what, deadline.Token, CancellationToken.None).ConfigureAwait(false);
    }

    /// <summary>One request.</summary>
    /// <param name="request">The request.</param>
    /// <param name="what">What it is, for messages.</param>
    /// <param name="deadline">Ends with <see cref="SandboxHostOptions.RequestTimeout"/> or the caller's token.</param>
    /// <param name="cancellationToken">The caller's token.</param>
    private async Task<LimitsResult> CallAsync(LimitsRequest request, string what, CancellationToken deadline, CancellationToken cancellationToken)
    {
        GuestStream stream = await OpenAsync(request).ConfigureAwait(false);
        try
        {
            return await stream.GetResultAsync(ProtocolJsonContext.Default.LimitsResult, deadline).ConfigureAwait(false);
        }
        catch (OperationCanceledException late)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw new SandboxTimeoutException(_sandbox.Id, what, Options.RequestTimeout, late);
        }
        catch (Exception failure) when (GuestErrors.Concerns(failure))
        {
            throw await GuestErrors.TranslateAsync(_sandbox, what, failure).ConfigureAwait(false);
        }
        finally
        {
            await stream.DisposeAsync().ConfigureAwait(false);
        }
    }

    private ValueTask<GuestStream> OpenAsync(LimitsRequest request) =>
        _sandbox.OpenStreamAsync(new OpenRequest { Op = Operations.Limits, Limits = request });

    private SandboxMemoryInUseException InUse(int asked, LimitsResult result)
    {
        int shortfall = ToMib(result.ShortfallBytes);
        int step = SandboxResize.MemoryStepMib;
        int needed = asked + (int)(((shortfall / 0.9) + step - 1) / step) * step;
        return new SandboxMemoryInUseException(_sandbox.Id, asked, ToMib(result.MemoryInUseBytes), Math.Min(needed, Limits.MemoryMib), shortfall);
    }

    /// <summary>Whole MiB, rounded up; the number is the guest's word and may be anything.</summary>
    private static int ToMib(long bytes) => (int)Math.Clamp(((double)bytes / (1 << Mebi)) + 0.999_999, 0, int.MaxValue / 2);

    private SandboxLimits Remember(int memory, LimitsResult result)
    {
        SandboxLimits before = Limits;
        var now = new SandboxLimits
        {
            MemoryMib = memory,
            MemoryMaxBytes = result.MemoryMaxBytes ?? before.MemoryMaxBytes,
            CpuPercent = result.CpuMaxPercent ?? before.CpuPercent,
            PidsMax = result.PidsMax ?? before.PidsMax,
            GuestMemoryBytes = result.MemoryBytes,
            MemoryInUseBytes = result.MemoryInUseBytes,
        };
        Volatile.Write(ref _limits, now);
        AllowPlugged(PluggedBytes(memory));
        return now;
    }

    private sealed class Hold(SemaphoreSlim turn) : IDisposable
    {
        private SemaphoreSlim? _turn = turn;

        public void Dispose() => Interlocked.Exchange(ref _turn, null)?.Release();
    }
}
