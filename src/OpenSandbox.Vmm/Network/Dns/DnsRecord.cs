namespace OpenSandbox.Vmm;

/// <summary>A resource record of the class IN.</summary>
/// <param name="Owner">Whose it is.</param>
/// <param name="Type">Its type.</param>
/// <param name="TimeToLive">Seconds.</param>
/// <param name="Data">Its data, names in it uncompressed.</param>
internal sealed record DnsRecord(DnsName Owner, ushort Type, uint TimeToLive, byte[] Data);
