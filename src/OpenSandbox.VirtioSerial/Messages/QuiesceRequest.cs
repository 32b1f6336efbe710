namespace OpenSandbox.VirtioSerial;

/// <summary>Payload of Quiesce.</summary>
public sealed record QuiesceRequest
{
    /// <summary>Fill free memory with zeroes first, so that a snapshot of it is small. For golden snapshots.</summary>
    public bool ZeroFreeMemory { get; init; }
}
