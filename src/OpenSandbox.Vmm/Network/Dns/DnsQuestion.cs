namespace OpenSandbox.Vmm;

/// <summary>What a query asks for.</summary>
/// <param name="Name">The name.</param>
/// <param name="Type">The record type.</param>
/// <param name="Class">The class; 1 is the internet's.</param>
internal sealed record DnsQuestion(DnsName Name, ushort Type, ushort Class)
{
    internal const ushort ClassInternet = 1;
}
