namespace OpenSandbox.Vmm;

/// <summary>What a checkpoint holds.</summary>
public enum CheckpointKind
{
    /// <summary>Memory and disks: what is made of it goes on where the sandbox was.</summary>
    Full,

    /// <summary>Disks alone: what is made of it boots from them.</summary>
    DiskOnly,
}
