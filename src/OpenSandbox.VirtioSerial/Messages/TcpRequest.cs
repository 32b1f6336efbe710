namespace OpenSandbox.VirtioSerial;

/// <summary>Parameters of <see cref="Operations.Tcp"/> and <see cref="Operations.Connect"/>.</summary>
public sealed record TcpRequest
{
    /// <summary>IP address as text; of <see cref="Operations.Connect"/> absent: the guest's loopback, IPv4 and then IPv6.</summary>
    public string? Address { get; init; }

    /// <summary>Port, 1 to 65,535.</summary>
    public required int Port { get; init; }
}
