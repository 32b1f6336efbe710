namespace OpenSandbox.Agent;

/// <summary>Bytes that connections of the guest have carried, outgoing and incoming ones together. Written by the network loop, read by all.</summary>
internal sealed class NetworkTraffic
{
    private long _received;
    private long _sent;

    /// <summary>Bytes into the guest.</summary>
    internal long Received => Volatile.Read(ref _received);

    /// <summary>Bytes out of the guest.</summary>
    internal long Sent => Volatile.Read(ref _sent);

    /// <summary>Counts bytes into the guest.</summary>
    internal void AddReceived(int bytes) => Volatile.Write(ref _received, _received + bytes);

    /// <summary>Counts bytes out of the guest.</summary>
    internal void AddSent(int bytes) => Volatile.Write(ref _sent, _sent + bytes);
}
