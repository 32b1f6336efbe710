namespace OpenSandbox.Vmm.Qemu;

/// <summary>Why a detached VM cannot be adopted.</summary>
internal enum VmAdoptionFailure
{
    /// <summary>It has ended. Nothing of it runs.</summary>
    Gone,

    /// <summary>It was started before this machine's last boot. Nothing of it runs.</summary>
    OtherBoot,

    /// <summary>Its process numbers belong to other processes now, which have been left alone. Nothing of it runs.</summary>
    Stranger,

    /// <summary>The record makes no sense. It is not known what runs.</summary>
    InvalidRecord,

    /// <summary>Another host is connected to it.</summary>
    InUse,

    /// <summary>It runs, but a socket refuses or its monitor does not answer. It can only be ended (<see cref="VmSweeper"/>).</summary>
    Unreachable,
}
