using OpenSandbox.Qmp;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Vmm;

/// <content>What follows a change that came only part of the way.</content>
internal sealed partial class SandboxResizer
{
    /// <summary>Failures after which the sandbox runs on, with a change that may have been made, or half of it.</summary>
    private static bool MayHaveChangedSomething(Exception failure) => failure is
        SandboxOperationException or SandboxTimeoutException or QmpCommandException or QmpTimeoutException or TimeoutException
            or SandboxResizeException;

    /// <summary>Before the guest can have more, its host cgroup allows it.</summary>
    private void AllowPlugged(long bytes)
    {
        try
        {
            _vm.AllowPlugged(bytes);
        }
        catch (IOException refused)
        {
            throw new SandboxOperationException(
                SandboxErrorCode.OperationFailed, _sandbox.Id, 0, $"sandbox {_sandbox.Id}: changing its memory: its host cgroup: {refused.Message}", refused);
        }
    }

    private SandboxResizeException Incomplete(int asked, SandboxLimits actual)
    {
        VmmLog.ResizeIncomplete(_host.Logger, _sandbox.Id, asked, actual.MemoryMib);
        return new SandboxResizeException(_sandbox.Id, asked, actual);
    }

    /// <summary>Settles after a failure, which is the one to report: another one is for the log, and for the next change to settle.</summary>
    private async Task TrySettleAsync()
    {
        if (_unsettledMib is not int bare)
        {
            return;
        }

        try
        {
            await SettleAsync(bare, new GuestLimits()).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is SandboxException or QmpException or TimeoutException or ObjectDisposedException)
        {
            VmmLog.ResizeUnsettled(_host.Logger, _sandbox.Id, failure);
        }
    }

    /// <summary>
    /// Nothing more is asked of the guest than what QEMU says that it has, and its limits become those of that. What was asked for, or what
    /// this library remembers, says nothing: the guest may have followed late, or not as far as it said.
    /// </summary>
    /// <param name="bareMib">The size in force if nothing is plugged in: it may be below the golden snapshot's.</param>
    /// <param name="limits">What else to set.</param>
    private async Task<SandboxLimits> SettleAsync(int bareMib, GuestLimits limits)
    {
        QmpClient qmp = await GetMonitorAsync().ConfigureAwait(false);
        long plugged = await PluggedNowAsync(qmp).ConfigureAwait(false);
        await RequestAsync(qmp, plugged).ConfigureAwait(false);
        AllowPlugged(plugged);
        int memory = plugged > 0 ? BaseMib + (int)(plugged >> Mebi) : Math.Min(bareMib, BaseMib);
        Volatile.Write(ref _limits, Limits with { MemoryMib = memory }); // true also if the guest does not answer

        var request = new LimitsRequest { Limits = limits with { MemoryMaxBytes = ProcessBytes((long)memory << Mebi) } };
        SandboxLimits settled = Remember(memory, await CallAsync(request, "setting limits").ConfigureAwait(false));
        _unsettledMib = null;
        return settled;
    }

    /// <summary>What QEMU says is plugged in; QEMU is not trusted with it.</summary>
    private async Task<long> PluggedNowAsync(QmpClient qmp)
    {
        IReadOnlyList<QmpMemoryDevice> devices = await qmp.QueryMemoryDevicesAsync(CancellationToken.None).ConfigureAwait(false);
        long? plugged = null;
        foreach (QmpMemoryDevice device in devices)
        {
            if (device.Type == "virtio-mem")
            {
                plugged = plugged is null && device.SizeBytes >= 0 && device.SizeBytes <= _golden.Shape.PluggableBytes
                    ? device.SizeBytes
                    : throw Nonsense();
            }
        }

        return plugged ?? throw Nonsense();

        SandboxOperationException Nonsense() => new(
            SandboxErrorCode.OperationFailed, _sandbox.Id, 0, $"sandbox {_sandbox.Id}: changing its memory: QEMU describes a device that was not made");
    }
}
