namespace OpenSandbox.VirtioSerial;

/// <summary>The virtio-serial ports of a sandbox.</summary>
public enum GuestPort
{
    /// <summary>Ping, resume and quiesce: <see cref="ProtocolConstants.ControlPortName"/>.</summary>
    Control,

    /// <summary>Commands and files: <see cref="ProtocolConstants.BulkPortName"/>.</summary>
    Bulk,

    /// <summary>Connections from and to the guest, and its DNS queries: <see cref="ProtocolConstants.NetworkPortName"/>.</summary>
    Network,
}
