using OpenSandbox.Vmm.State;
using OpenSandbox.Vmm.Telemetry;

namespace OpenSandbox.Vmm;

/// <content>Limits of a running sandbox.</content>
public sealed partial class Sandbox
{
    private int _guestScales; // 1 while a request of the guest's is carried out

    /// <summary>
    /// The limits in force, as last set or asked for; no call into the guest. While the sandbox does not run: those that it will have again.
    /// </summary>
    public SandboxLimits Limits => Volatile.Read(ref _run)?.Resizer.Limits
        ?? (_manifest?.Sandbox.Limits is LimitsRecord last ? last.ToLimits((long)last.MemoryMib << 20) : throw NotRunning());

    /// <summary>Gives the running sandbox another size.</summary>
    /// <param name="memoryMib">
    /// RAM, MiB: 256 to <see cref="SandboxHostOptions.MaxMemoryMib"/>, a multiple of 128. Its processes may use 90 percent of it.
    /// </param>
    /// <param name="cpuPercent">
    /// CPU limit in percent of one CPU, 1 to 10,000, at most what the virtual CPUs give (100 each). Default: 100 per GiB of memory.
    /// </param>
    /// <param name="cancellationToken">As for the other overload.</param>
    /// <returns>The limits in force.</returns>
    /// <inheritdoc cref="ResizeAsync(SandboxResize, CancellationToken)" path="/exception"/>
    public Task<SandboxLimits> ResizeAsync(int memoryMib, int? cpuPercent = null, CancellationToken cancellationToken = default) =>
        ResizeAsync(new SandboxResize { MemoryMib = memoryMib, CpuPercent = cpuPercent }, cancellationToken);

    /// <summary>
    /// Changes limits of the running sandbox: grown memory is usable in the guest when this returns, and memory taken away is back with the
    /// host. Calls on one sandbox are carried out one after the other.
    /// </summary>
    /// <param name="resize">What to change.</param>
    /// <param name="cancellationToken">
    /// Until the change begins; from then on it is carried through, so that limits and memory match (seconds, and at most
    /// <see cref="SandboxHostOptions.ResizeTimeout"/> and a few requests).
    /// </param>
    /// <returns>The limits in force.</returns>
    /// <exception cref="SandboxMemoryInUseException">Its processes hold more memory than would be left; nothing was changed.</exception>
    /// <exception cref="SandboxResizeException">The guest's kernel came only part of the way; the limits match what is there.</exception>
    /// <exception cref="SandboxCapacityException">The host has no memory to give; nothing was changed.</exception>
    /// <exception cref="SandboxOperationException">
    /// The guest or QEMU refused; the sandbox is still usable, and <see cref="Limits"/> says which memory it has now.
    /// </exception>
    /// <exception cref="SandboxTimeoutException">
    /// The guest or QEMU did not answer within <see cref="SandboxHostOptions.RequestTimeout"/>; <see cref="Limits"/> says which memory was found.
    /// </exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public Task<SandboxLimits> ResizeAsync(SandboxResize resize, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(resize);
        resize.Validate(Options);
        EnsureRunning();
        return Operation.Resize.RunAsync(Id, ResizeNowAsync);

        async Task<SandboxLimits> ResizeNowAsync()
        {
            try
            {
                SandboxLimits limits = await Run.Resizer.ResizeAsync(resize, cancellationToken).ConfigureAwait(false);
                Tell(SandboxEventKind.Resized, new SandboxEventDetails { Limits = limits });
                return limits;
            }
            catch (SandboxResizeException partly)
            {
                Tell(SandboxEventKind.Resized, new SandboxEventDetails { Limits = partly.Limits });
                throw;
            }
            finally
            {
                // Also a change that came only part of the way is one.
                if (IsDetached)
                {
                    await Task.Run(RecordChanges, CancellationToken.None).ConfigureAwait(false);
                }
            }
        }
    }

    /// <summary>Asks the guest's kernel for the limits in force, and for what its processes hold.</summary>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>The limits.</returns>
    /// <exception cref="SandboxTimeoutException">
    /// No answer within <see cref="SandboxHostOptions.RequestTimeout"/>, which includes the wait for a change that is being carried out.
    /// </exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public Task<SandboxLimits> GetLimitsAsync(CancellationToken cancellationToken = default)
    {
        EnsureRunning();
        return Run.Resizer.AskAsync(cancellationToken);
    }

    /// <summary>What a request of the guest's to scale itself comes to; for whoever carries such requests here.</summary>
    /// <param name="memoryMib">The memory asked for, MiB; rounded up to the next size that is possible.</param>
    /// <param name="cpuPercent">The CPU limit asked for.</param>
    /// <param name="cancellationToken">Until the change begins.</param>
    /// <returns>The limits in force, or why not, for the guest to read.</returns>
    internal async Task<GuestScaleReply> HandleScaleRequestAsync(long memoryMib, long? cpuPercent, CancellationToken cancellationToken)
    {
        if (Spec.MaxGuestScaleMib is not int largest)
        {
            return GuestScaleReply.Refused(GuestScaleRefusal.NotAllowed, "scaling from inside is not available");
        }

        if (memoryMib < 1 || memoryMib > largest || cpuPercent is < 1 or > 10_000)
        {
            return GuestScaleReply.Refused(
                GuestScaleRefusal.Invalid, $"memoryMB must be from 1 to {largest}, and cpuPercent, if given, from 1 to 10000");
        }

        // One at a time: the owner's own calls wait for at most one of the guest's.
        if (Interlocked.CompareExchange(ref _guestScales, 1, 0) != 0)
        {
            return GuestScaleReply.Refused(GuestScaleRefusal.Failed, "another request is being carried out");
        }

        int step = SandboxResize.MemoryStepMib;
        int rounded = Math.Max(SandboxResize.MinMemoryMib, (int)((memoryMib + step - 1) / step * step));
        try
        {
            return GuestScaleReply.Accepted(await ResizeAsync(rounded, (int?)cpuPercent, cancellationToken).ConfigureAwait(false));
        }
        catch (SandboxResizeException partly)
        {
            return GuestScaleReply.Refused(GuestScaleRefusal.Failed, $"only {partly.Limits.MemoryMib} MB could be reached");
        }
        catch (SandboxMemoryInUseException inUse)
        {
            return GuestScaleReply.Refused(
                GuestScaleRefusal.Failed, $"{inUse.InUseMib} MB are in use, {inUse.ShortfallMib} MB more than would be left");
        }
        catch (SandboxCapacityException)
        {
            return GuestScaleReply.Refused(GuestScaleRefusal.Failed, "the host has no memory to give at the moment");
        }
        catch (SandboxException failure) when (failure is SandboxOperationException or SandboxTimeoutException)
        {
            VmmLog.GuestScaleFailed(_host.Logger, Id, failure);
            return GuestScaleReply.Refused(GuestScaleRefusal.Failed, "scaling failed");
        }
        catch (SandboxException ending) when (ending is SandboxLostException or SandboxStateException)
        {
            return GuestScaleReply.Refused(GuestScaleRefusal.Failed, "the sandbox is ending");
        }
        finally
        {
            Volatile.Write(ref _guestScales, 0);
        }
    }
}
