namespace OpenSandbox.Vmm.Qemu;

/// <content>Detached VMs: their record, letting go of them, and taking them over.</content>
internal sealed partial class VirtualMachine
{
    /// <summary>
    /// What the next host needs to adopt this VM. Of a VM that this process started: waits until QEMU has been executed, the record is in
    /// the runtime directory, and the launcher has been told to go on without this process.
    /// </summary>
    /// <exception cref="InvalidOperationException">The VM is attached.</exception>
    /// <exception cref="SandboxStartException">QEMU has not been executed, or the record could not be written; the VM is not detached.</exception>
    internal Task<VmRecord> GetRecordAsync(CancellationToken cancellationToken) => throw new NotSupportedException();

    /// <summary>
    /// Takes over a detached VM that no host is connected to: makes sure that it is the one, connects, and opens a channel with a new epoch.
    /// The guest knows of it when the caller has waited for Hello and sent the resume request, as after a start.
    /// </summary>
    /// <param name="context">The host's services.</param>
    /// <param name="name">For messages: the sandbox's id.</param>
    /// <param name="record">From <see cref="GetRecordAsync"/>.</param>
    /// <param name="cancellationToken">The VM is as it was before the cancellation surfaces.</param>
    /// <exception cref="VmAdoptionException">Why not; the VM is as it was.</exception>
    internal static Task<VirtualMachine> AdoptAsync(
        VmmContext context, string name, VmRecord record, CancellationToken cancellationToken) => throw new NotSupportedException();

    /// <summary>
    /// Lets go of a detached VM without ending it: closes all connections and waits until they are closed. Afterwards another host, or this
    /// one, can adopt it. Of an attached VM, or one whose record could not be written, this is the same as <see cref="DisposeAsync"/>.
    /// </summary>
    internal Task ReleaseAsync() => throw new NotSupportedException();
}
