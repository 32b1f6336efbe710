namespace OpenSandbox.Host.Security;

/// <summary>Endpoints that need no key: health, and URLs that carry their own permission.</summary>
/// <param name="FromAnywhere">Whether a web page may use it, too.</param>
internal sealed record OpenAccess(bool FromAnywhere)
{
    /// <summary>Whether whoever watches the server asks here: it is answered however busy the server is, and counts in no limit.</summary>
    internal bool IsProbe { get; init; }
}
