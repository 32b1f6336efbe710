namespace OpenSandbox.Vmm;

/// <summary>RFC 1035 section 4.1.1 and RFC 6891.</summary>
internal enum DnsResponseCode
{
    NoError = 0,
    FormatError = 1,
    ServerFailure = 2,
    NameError = 3,
    NotImplemented = 4,
    Refused = 5,

    /// <summary>Needs the upper bits in OPT.</summary>
    BadVersion = 16,
}
