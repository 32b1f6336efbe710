namespace OpenSandbox.Vmm.Qemu;

/// <summary>Ends detached VMs that nobody wants any more, and removes what is left of them.</summary>
internal static class VmSweeper
{
    /// <summary>Ends what runs in a VM's runtime directory, if it is that VM, and removes the directory.</summary>
    /// <param name="context">The host's services.</param>
    /// <param name="runtimeDirectory">The directory; one that does not exist is swept already.</param>
    /// <param name="cancellationToken">Stops waiting for the end of what has been killed; the directory then stays.</param>
    /// <returns>False if a host is using the VM, which is then left alone.</returns>
    internal static Task<bool> SweepAsync(VmmContext context, string runtimeDirectory, CancellationToken cancellationToken) =>
        throw new NotSupportedException();
}
