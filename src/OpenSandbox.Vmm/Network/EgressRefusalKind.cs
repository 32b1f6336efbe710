namespace OpenSandbox.Vmm;

/// <summary>What a sandbox was refused.</summary>
public enum EgressRefusalKind
{
    /// <summary>A TCP connection.</summary>
    Connect,

    /// <summary>The addresses, or other records, of a name.</summary>
    Dns,
}
