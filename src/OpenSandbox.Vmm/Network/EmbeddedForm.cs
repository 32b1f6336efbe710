namespace OpenSandbox.Vmm;

/// <summary>Where an IPv6 address carries IPv4 addresses.</summary>
internal enum EmbeddedForm
{
    /// <summary>Nowhere.</summary>
    None,

    /// <summary>In its last four bytes.</summary>
    LastFour,

    /// <summary>RFC 8215: the prefix may be of any length from 48 to 96 (RFC 6052 says where the address is then).</summary>
    LocalNat64,

    /// <summary>RFC 4380: the server's in bytes 4 to 7, the client's, inverted, in the last four.</summary>
    Teredo,

    /// <summary>RFC 3056: in bytes 2 to 5.</summary>
    SixToFour,
}
