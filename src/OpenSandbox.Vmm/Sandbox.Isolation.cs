namespace OpenSandbox.Vmm;

/// <content>What confines it.</content>
public sealed partial class Sandbox
{
    /// <summary>
    /// What stands between its QEMU and the host now, control by control; of a detached sandbox that was taken over, as its first host found
    /// it. <see langword="null"/> while it has no machine.
    /// </summary>
    public SandboxIsolation? Isolation => Volatile.Read(ref _run)?.Isolation;
}
