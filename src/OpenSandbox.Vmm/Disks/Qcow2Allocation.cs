namespace OpenSandbox.Vmm.Disks;

/// <summary>What a layer says about a part of the disk.</summary>
internal enum Qcow2Allocation
{
    /// <summary>Nothing: the layer below counts.</summary>
    Unallocated,

    /// <summary>Zeros, whatever the layer below says.</summary>
    Zero,

    /// <summary>The layer has content for it.</summary>
    Data,
}
