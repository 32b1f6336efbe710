using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;
using OpenSandbox.Qmp;
using OpenSandbox.Vmm.Qemu;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Vmm.Snapshots;

/// <summary>
/// Cuts one machine: devices and memory as they are while it is stopped. Everything that can be done before is done before, because the
/// guest stands still meanwhile.
/// </summary>
/// <remarks>One cut of a machine at a time. Nothing here stops or continues it: that is the caller's, with what else has to happen then.</remarks>
internal sealed class MachineCutter : IDisposable
{
    private const long MaxDeviceStateBytes = 64 << 20;

    private readonly VirtualMachine _vm;
    private readonly QmpClient _qmp;
    private readonly RamMapping _ram;
    private readonly SafeFileHandle _plugged;
    private readonly SafeFileHandle _state;
    private readonly long _fdSet;
    private PageStore? _store;

    private MachineCutter(VirtualMachine vm, QmpClient qmp, RamMapping ram, SafeFileHandle plugged, SafeFileHandle state, long fdSet)
    {
        _vm = vm;
        _qmp = qmp;
        _ram = ram;
        _plugged = plugged;
        _state = state;
        _fdSet = fdSet;
    }

    /// <summary>Gets ready while the guest runs.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="shape">Its shape.</param>
    /// <param name="copy">Whether pages will be copied into memory, which is provided now.</param>
    /// <param name="cancellationToken">Stops.</param>
    /// <exception cref="IOException">The process's memory cannot be looked at.</exception>
    /// <exception cref="QmpException">QEMU refused or is gone.</exception>
    internal static async Task<MachineCutter> PrepareAsync(VirtualMachine vm, VmShape shape, bool copy, CancellationToken cancellationToken)
    {
        QmpClient qmp = await vm.GetQmpAsync().WaitAsync(cancellationToken).ConfigureAwait(false);
        int pid = await vm.GetQemuPidAsync(cancellationToken).ConfigureAwait(false);
        RamMapping ram = RamMapping.Find(pid, (long)shape.BaseMemoryMib << 20);
        SafeFileHandle? state = null;
        SafeFileHandle? plugged = null;
        PageStore? store = null;
        try
        {
            plugged = VirtualMachine.OpenPluggedRam(pid, shape.PluggableBytes);
            state = Libc.MemfdCreate("opensandbox-device-state", Libc.MFD_CLOEXEC | Libc.MFD_ALLOW_SEALING);
            if (state.IsInvalid)
            {
                throw Errno.LastError("memfd_create for the device state");
            }

            // QEMU matches the access mode of an fdset's descriptors with what it opens. A set of its own for every cut: it takes the first
            // descriptor that fits.
            using (SafeFileHandle writable = Libc.Open($"/proc/self/fd/{state.DangerousGetHandle()}", Libc.O_WRONLY | Libc.O_CLOEXEC, 0))
            {
                if (writable.IsInvalid)
                {
                    throw Errno.LastError("open the device state for writing");
                }

                QmpAddedDescriptor added = await qmp.AddFdAsync(writable, cancellationToken: cancellationToken).ConfigureAwait(false);
                if (copy)
                {
                    store = PageStore.Reserve(ram.Bytes);
                    long pages = 0;
                    foreach (PageRun run in ram.FindPrivatePages())
                    {
                        pages += run.Count;
                    }

                    // What the guest writes until it is stopped comes on top.
                    store.Populate((pages * PageRun.PageSize) + (1 << 20));
                }

                return new MachineCutter(vm, qmp, ram, plugged, state, added.FdSetId) { _store = store };
            }
        }
        catch
        {
            state?.Dispose();
            plugged?.Dispose();
            store?.Dispose();
            throw;
        }
    }

    /// <summary>Where the stopped machine's RAM is.</summary>
    internal RamMapping Ram => _ram;

    /// <summary>The stopped machine's hot-plugged RAM.</summary>
    internal SafeFileHandle PluggedRam => _plugged;

    /// <summary>Saves the device state of the stopped machine.</summary>
    /// <exception cref="QmpException">QEMU refused or is gone.</exception>
    internal async Task<byte[]> SaveDevicesAsync(CancellationToken cancellationToken)
    {
        // live: false, because the machine may go on: with true QEMU would give its disks up.
        await _qmp
            .XenSaveDevicesStateAsync(
                string.Create(System.Globalization.CultureInfo.InvariantCulture, $"/dev/fdset/{_fdSet}"), live: false, cancellationToken: cancellationToken)
            .ConfigureAwait(false);
        long length = RandomAccess.GetLength(_state);
        if (length is 0 or > MaxDeviceStateBytes)
        {
            throw new IOException($"QEMU saved a device state of {length} bytes");
        }

        byte[] state = new byte[length];
        return RandomAccess.Read(_state, state, 0) == length ? state : throw new IOException("the device state cannot be read");
    }

    /// <summary>Cuts the stopped machine into memory.</summary>
    /// <param name="pluggedBytes">Hot-plugged memory that it has.</param>
    /// <param name="cancellationToken">Stops.</param>
    /// <exception cref="IOException">Its memory cannot be read.</exception>
    /// <exception cref="QmpException">QEMU refused or is gone.</exception>
    internal async Task<MachineCut> CutAsync(long pluggedBytes, CancellationToken cancellationToken)
    {
        // QEMU saves its devices on its own thread while the pages are copied here.
        Task<byte[]> saving = SaveDevicesAsync(cancellationToken);
        PageStore ram = Interlocked.Exchange(ref _store, null) ?? throw new InvalidOperationException("made without a store, or used twice");
        PageStore? plugged = null;
        try
        {
            // On this thread: the guest would wait for another one to be woken.
            List<PageRun> runs = _ram.FindPrivatePages();
            Copy(runs, ram);
            List<PageRun> pluggedRuns = FindPluggedPages();
            plugged = CopyPlugged(pluggedRuns);
            return new MachineCut(await saving.ConfigureAwait(false), pluggedBytes, runs, ram, pluggedRuns, plugged);
        }
        catch
        {
            await ((Task)saving).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            ram.Dispose();
            plugged?.Dispose();
            throw;
        }
    }

    /// <summary>The stored pages of hot-plugged RAM.</summary>
    internal List<PageRun> FindPluggedPages() =>
    [
        .. DataExtents.Of(_plugged, RandomAccess.GetLength(_plugged), PageRun.PageSize)
            .Select(static extent => new PageRun(extent.Start / PageRun.PageSize, (extent.End - extent.Start) / PageRun.PageSize)),
    ];

    /// <summary>Gives back what QEMU was given for this cut.</summary>
    internal async Task ReleaseAsync()
    {
        try
        {
            await _qmp.RemoveFdAsync(_fdSet, cancellationToken: CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception gone) when (gone is QmpException or ObjectDisposedException)
        {
            VmmLog.MonitorFailed(_vm.Logger, _vm.Name, gone);
        }
    }

    public void Dispose()
    {
        _state.Dispose();
        _plugged.Dispose();
        _store?.Dispose();
    }

    private void Copy(List<PageRun> runs, PageStore store)
    {
        const long batchBytes = 2 << 20; // and a span's length is an int
        var batches = new List<(int First, int Count, long At, long Bytes)>();
        long at = 0;
        for (int first = 0; first < runs.Count;)
        {
            int count = 0;
            long bytes = 0;
            while (first + count < runs.Count && (count == 0 || bytes + runs[first + count].Bytes <= batchBytes))
            {
                bytes += runs[first + count].Bytes;
                count++;
            }

            batches.Add((first, count, at, bytes));
            at += bytes;
            first += count;
        }

        // The machine's CPUs stand still, so the host's are free; for a few pages waking another thread takes longer than they do.
        if (batches.Count <= 1)
        {
            batches.ForEach(CopyBatch);
        }
        else
        {
            try
            {
                Parallel.ForEach(batches, CopyBatch);
            }
            catch (AggregateException several)
            {
                System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(several.InnerExceptions[0]);
            }
        }

        void CopyBatch((int First, int Count, long At, long Bytes) batch)
        {
            if (batch.Bytes > int.MaxValue)
            {
                CopyLarge(runs[batch.First], store, batch.At);
            }
            else
            {
                _ram.Read(
                    System.Runtime.InteropServices.CollectionsMarshal.AsSpan(runs).Slice(batch.First, batch.Count),
                    store.Span(batch.At, (int)batch.Bytes));
            }
        }
    }

    private void CopyLarge(PageRun run, PageStore store, long at)
    {
        const long pieces = (1 << 30) / PageRun.PageSize;
        for (long done = 0; done < run.Count; done += pieces)
        {
            var piece = new PageRun(run.First + done, Math.Min(pieces, run.Count - done));
            _ram.Read([piece], store.Span(at + (done * PageRun.PageSize), (int)piece.Bytes));
        }
    }

    private PageStore? CopyPlugged(List<PageRun> runs)
    {
        long bytes = runs.Sum(static run => run.Bytes);
        if (bytes == 0)
        {
            return null;
        }

        PageStore store = PageStore.Reserve(bytes);
        try
        {
            long at = 0;
            foreach (PageRun run in runs)
            {
                for (long done = 0; done < run.Bytes;)
                {
                    Span<byte> room = store.Span(at + done, (int)Math.Min(1 << 30, run.Bytes - done));
                    int count = RandomAccess.Read(_plugged, room, run.Offset + done);
                    if (count == 0)
                    {
                        throw new IOException("hot-plugged RAM ends early");
                    }

                    done += count;
                }

                at += run.Bytes;
            }

            return store;
        }
        catch
        {
            store.Dispose();
            throw;
        }
    }
}
