namespace OpenSandbox.Vmm;

/// <summary>Which accelerator QEMU is to use.</summary>
public enum AcceleratorChoice
{
    /// <summary>KVM if a guest really boots under it on this host, otherwise TCG. Found out once per boot of the host.</summary>
    Auto,

    /// <summary>KVM, or an error.</summary>
    Kvm,

    /// <summary>QEMU's own translator: works everywhere, slower.</summary>
    Tcg,
}
