using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;
using OpenSandbox.Qmp;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Processes;
using OpenSandbox.Vmm.Qemu;

namespace OpenSandbox.Vmm.Golden;

/// <summary>Boots kernel, initramfs and agent once and cuts the result: RAM in a memfd, device state in another.</summary>
internal static class GoldenBuilder
{
    /// <summary>The phase whose failure says that the accelerator does not work here, and not that something else is missing.</summary>
    internal const string BootPhase = "booting the guest";

    /// <summary>Builds.</summary>
    /// <param name="context">The host's services.</param>
    /// <param name="shape">The machine.</param>
    /// <param name="limit">From start to end; under KVM the probe's, so that a guest that never gets going is found out.</param>
    /// <param name="cancellationToken">Ends the builder's VM.</param>
    /// <returns>The cut: RAM not yet sealed, with zero pages punched out. The caller owns both files.</returns>
    /// <exception cref="SandboxStartException">The guest did not boot, or QEMU failed at some step.</exception>
    internal static async Task<GoldenCut> BuildAsync(
        VmmContext context, VmShape shape, TimeSpan limit, CancellationToken cancellationToken)
    {
        using SafeFileHandle kernel = OpenAsset(context.KernelPath);
        using SafeFileHandle initramfs = OpenAsset(context.InitramfsPath);
        using var deadline = new CancellationTokenSource(limit, context.Options.TimeProvider);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        RamTemplate ram = RamTemplate.CreateEmpty((long)shape.BaseMemoryMib << 20);
        SafeFileHandle? state = null;
        string phase = "starting QEMU";
        VirtualMachine? vm = null;
        try
        {
            vm = await VirtualMachine.StartAsync(context, new VmLaunch(
                "golden builder",
                shape,
                ram.File,
                (descriptors, channels) => QemuCommandLine.ForBuilder(
                    context.Options.QemuPath, shape, channels, descriptors.Add(kernel), descriptors.Add(initramfs)))).ConfigureAwait(false);

            await vm.GetIsolationAsync(either.Token).ConfigureAwait(false);

            phase = BootPhase;
            AgentHello hello = await OrExit(vm, vm.Channel.WaitForHelloAsync(either.Token)).ConfigureAwait(false);

            phase = "quiescing the agent";
            QuiesceReply quiesced = await OrExit(
                vm, vm.Channel.QuiesceAsync(new QuiesceRequest { ZeroFreeMemory = true }, either.Token)).ConfigureAwait(false);
            if (!quiesced.Ok)
            {
                throw new SandboxStartException(
                    vm.Name, phase, $"the agent refused: {quiesced.Reason ?? $"{quiesced.OpenStreams} open streams"}", vm.StandardErrorTail);
            }

            phase = "saving the device state";
            state = CreateStateFile();
            QmpClient qmp = await OrExit(vm, vm.GetQmpAsync()).ConfigureAwait(false);
            await SaveAsync(qmp, state, either.Token).ConfigureAwait(false);

            phase = "ending the builder";
            await vm.DisposeAsync().ConfigureAwait(false);
            ram.PunchZeroPages();
            return new GoldenCut(ram, state, hello);
        }
        catch (Exception failure) when (failure is not (SandboxException or OutOfMemoryException))
        {
            string tail = vm?.StandardErrorTail ?? "";
            string console = vm?.ConsoleTail ?? "";
            Drop();
            cancellationToken.ThrowIfCancellationRequested();
            string reason = deadline.IsCancellationRequested ? $"not done within {limit.TotalSeconds:0.#} s" : failure.Message;
            throw new SandboxStartException(
                "golden builder",
                phase,
                console.Length == 0 ? reason : $"{reason}; the guest's console ends: {console}",
                tail,
                failure);
        }
        catch (SandboxException)
        {
            Drop();
            throw;
        }
        finally
        {
            if (vm is not null)
            {
                await vm.DisposeAsync().ConfigureAwait(false);
            }
        }

        void Drop()
        {
            ram.Dispose();
            state?.Dispose();
        }
    }

    private static async Task SaveAsync(QmpClient qmp, SafeFileHandle state, CancellationToken cancellationToken)
    {
        await qmp.StopAsync(cancellationToken).ConfigureAwait(false);

        // QEMU matches the access mode of an fdset's descriptors with what it opens, and it opens this file for writing only.
        using SafeFileHandle writable = Libc.Open(
            $"/proc/self/fd/{state.DangerousGetHandle()}", Libc.O_WRONLY | Libc.O_CLOEXEC, 0);
        if (writable.IsInvalid)
        {
            throw Errno.LastError("open the device state for writing");
        }

        await qmp.AddFdAsync(writable, QemuCommandLine.SaveFdSet, cancellationToken: cancellationToken).ConfigureAwait(false);
        await qmp
            .XenSaveDevicesStateAsync($"/dev/fdset/{QemuCommandLine.SaveFdSet}", live: false, cancellationToken: cancellationToken)
            .ConfigureAwait(false);
    }

    private static SafeFileHandle CreateStateFile()
    {
        SafeFileHandle file = Libc.MemfdCreate("opensandbox-device-state", Libc.MFD_CLOEXEC | Libc.MFD_ALLOW_SEALING);
        return file.IsInvalid ? throw Errno.LastError("memfd_create for the device state") : file;
    }

    /// <summary>
    /// Takes an asset into memory: QEMU opens kernel and initramfs by their names in /proc/self/fd, which file rules (Landlock) allow for
    /// files of no path alone. What is booted is also what was read, whatever becomes of the file meanwhile.
    /// </summary>
    private static SafeFileHandle OpenAsset(string path)
    {
        const int chunk = 1 << 20;
        SafeFileHandle copy = Libc.MemfdCreate("opensandbox-asset", Libc.MFD_CLOEXEC | Libc.MFD_ALLOW_SEALING);
        bool complete = false;
        try
        {
            if (copy.IsInvalid)
            {
                throw Errno.LastError("memfd_create for an asset");
            }

            using SafeFileHandle asset = File.OpenHandle(path);
            byte[] buffer = new byte[chunk];
            long at = 0;
            for (int read; (read = RandomAccess.Read(asset, buffer, at)) > 0; at += read)
            {
                RandomAccess.Write(copy, buffer.AsSpan(0, read), at);
            }

            if (Libc.Fcntl(copy, Libc.F_ADD_SEALS, Libc.F_SEAL_SEAL | Libc.F_SEAL_SHRINK | Libc.F_SEAL_GROW | Libc.F_SEAL_WRITE) != 0)
            {
                throw Errno.LastError("fcntl F_ADD_SEALS on an asset");
            }

            complete = true;
            return copy;
        }
        catch (Exception missing) when (missing is IOException or UnauthorizedAccessException)
        {
            throw new HostPrerequisiteException(
                $"{path} cannot be read: {missing.Message}",
                "Build the guest's kernel, initramfs and launcher with scripts/build-assets.sh, or set SandboxHostOptions.AssetsDirectory",
                missing);
        }
        finally
        {
            if (!complete)
            {
                copy.Dispose();
            }
        }
    }

    /// <summary>Waits for the guest or the monitor. If QEMU ends meanwhile, that is the failure: sockets only show its consequence.</summary>
    private static async Task<T> OrExit<T>(VirtualMachine vm, Task<T> work)
    {
        try
        {
            return await work.ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is GuestChannelException or QmpConnectionException)
        {
            SandboxExit? exit = await vm.TryDescribeExitAsync().ConfigureAwait(false);
            throw exit is null ? failure : new IOException(exit.Description, failure);
        }
    }
}
