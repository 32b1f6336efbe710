namespace OpenSandbox.VirtioSerial;

/// <summary>Parameters of <see cref="Operations.Dns"/>.</summary>
public sealed record DnsRequest
{
    /// <summary>The query as the guest's program sent it, 12 to 4,096 bytes.</summary>
    public required byte[] Query { get; init; }

    /// <summary>Whether it came over TCP, so that the answer may be of any length that fits a frame.</summary>
    public bool OverTcp { get; init; }
}
