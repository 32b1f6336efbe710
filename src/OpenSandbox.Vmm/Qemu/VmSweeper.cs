using OpenSandbox.Vmm.Isolation;
using OpenSandbox.Vmm.Processes;

namespace OpenSandbox.Vmm.Qemu;

/// <summary>Ends detached VMs that nobody wants any more, and removes what is left of them. Never signals a process that is not the VM's.</summary>
internal static class VmSweeper
{
    /// <summary>Ends what runs in a VM's runtime directory, if it is that VM, and removes the directory.</summary>
    /// <param name="context">The host's services.</param>
    /// <param name="runtimeDirectory">The directory; one that does not exist is swept already.</param>
    /// <param name="cancellationToken">Stops waiting for the end of what has been signalled; the directory then stays.</param>
    /// <returns>False if a host is starting or using the VM, which is then left alone.</returns>
    /// <exception cref="IOException">Something could not be read or removed.</exception>
    /// <exception cref="InvalidDataException">The directory's record is damaged: it is not known what runs there, and nothing has been touched.</exception>
    internal static async Task<bool> SweepAsync(VmmContext context, string runtimeDirectory, CancellationToken cancellationToken)
    {
        using VmRuntimeDirectory? directory = VmRuntimeDirectory.TryOpen(runtimeDirectory, out bool inUse);
        if (directory is null)
        {
            return !inUse;
        }

        if (directory.ReadRecord() is VmRecord record)
        {
            if (record.FindFault() is string fault)
            {
                throw new InvalidDataException($"the record in {runtimeDirectory} is damaged: {fault}");
            }

            await EndAsync(context, Path.GetFileName(runtimeDirectory), record, cancellationToken).ConfigureAwait(false);
        }

        directory.Remove();
        return true;
    }

    /// <summary>As <see cref="SweepAsync(VmmContext, string, CancellationToken)"/>, for a VM whose record is kept elsewhere: also without its directory.</summary>
    internal static async Task<bool> SweepAsync(VmmContext context, VmRecord record, CancellationToken cancellationToken)
    {
        using VmRuntimeDirectory? directory = VmRuntimeDirectory.TryOpen(record.RuntimeDirectory, out bool inUse);
        if (inUse)
        {
            return false;
        }

        if (record.FindFault() is string fault)
        {
            throw new InvalidDataException($"the record of {record.RuntimeDirectory} is damaged: {fault}");
        }

        await EndAsync(context, Path.GetFileName(record.RuntimeDirectory), record, cancellationToken).ConfigureAwait(false);
        directory?.Remove();
        return true;
    }

    /// <summary>Whether a host is starting or using the VM of a runtime directory.</summary>
    internal static bool IsInUse(string runtimeDirectory)
    {
        using VmRuntimeDirectory? directory = VmRuntimeDirectory.TryOpen(runtimeDirectory, out bool inUse);
        return inUse;
    }

    private static async Task EndAsync(VmmContext context, string name, VmRecord record, CancellationToken cancellationToken)
    {
        if (record.BootId != BootId.Current)
        {
            return;
        }

        VmProcesses processes = await VmProcesses.FindAsync(context, name, record).ConfigureAwait(false);
        try
        {
            await processes.EndAsync(cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            processes.Forget();
        }

        if (record.Confinement is VmConfinement confinement)
        {
            context.Cgroups.Adopt(confinement.Cgroups, confinement.FixedBytes)?.Remove();
        }
    }
}
