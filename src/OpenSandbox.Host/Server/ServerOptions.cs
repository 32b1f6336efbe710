using OpenSandbox.Host.Errors;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host;

/// <summary>How the server works. Immutable; every setting has a default.</summary>
public sealed record ServerOptions
{
    /// <summary>Where it listens. Default: 127.0.0.1:8080.</summary>
    public ListenAddress Listen { get; init; } = ListenAddress.Default;

    /// <summary>How sandboxes are made; its state directory is the server's, too.</summary>
    public SandboxHostOptions Sandboxes { get; init; } = new();

    /// <summary>
    /// Keys that clients may use, beside those of <see cref="ApiKeysFile"/>: 1 to 512 visible ASCII characters each. Default: what
    /// <c>OPENSANDBOX_API_KEY</c> holds, else none.
    /// </summary>
    public IReadOnlyList<string> ApiKeys { get; init; } = FromEnvironment();

    /// <summary>
    /// A file with one key a line; empty lines and lines that begin with <c>#</c> do not count. Read again when it has changed.
    /// Default: none.
    /// </summary>
    public string? ApiKeysFile { get; init; }

    /// <summary>
    /// Whether the server may listen beyond this machine without any key: whoever reaches it can run programs on it then. Default: no.
    /// </summary>
    public bool AllowAnonymousRemote { get; init; }

    /// <summary>
    /// How clients reach the server from outside, such as <c>https://sandboxes.example.org</c>: the beginning of the URLs it hands out.
    /// Default: none, they are made of the request's own scheme and host.
    /// </summary>
    public Uri? PublicUrl { get; init; }

    /// <summary>Names below which previews live, as <c>SANDBOX-pPORT.DOMAIN</c>. Default: <c>localhost</c>, which browsers resolve to this machine.</summary>
    public string PreviewDomain { get; init; } = "localhost";

    /// <summary>Largest request body that is not a file, bytes, 1,024 to 1 GiB. Default: 8 MiB.</summary>
    public long MaxBodyBytes { get; init; } = 8 << 20;

    /// <summary>Largest file that can be sent in one request, bytes, up to 1 TiB. Default: 2 GiB.</summary>
    public long MaxFileBytes { get; init; } = 2L << 30;

    /// <summary>Requests that are worked on at once, 1 to 100,000; WebSockets and long polls count. Default: 1,024.</summary>
    public int MaxConcurrentRequests { get; init; } = 1_024;

    /// <summary>Connections at once, 1 to 100,000. Default: 4,096.</summary>
    public int MaxConnections { get; init; } = 4_096;

    /// <summary>Requests a second of one key, 1 to 1,000,000, in bursts of up to twice as many. Default: 2,000.</summary>
    public int RequestsPerSecond { get; init; } = 2_000;

    /// <summary>How long sandboxes may be idle whose creator says nothing about it. Default: 300 s.</summary>
    public TimeSpan DefaultIdleTimeout { get; init; } = TimeSpan.FromSeconds(300);

    /// <summary>For how long work that is under way may go on when the server is told to stop. Default: 10 s.</summary>
    public TimeSpan ShutdownTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// What has to be done before the first sandbox can be made, such as building images; the server is not ready before. Default: nothing.
    /// </summary>
    public Func<SandboxHost, CancellationToken, Task>? Prepare { get; init; }

    /// <summary>Checks the values that can be checked without looking at the machine.</summary>
    /// <exception cref="ArgumentException">One is out of range; the message says which and why.</exception>
    public void Validate()
    {
        Range(MaxBodyBytes, 1_024, 1L << 30, nameof(MaxBodyBytes));
        Range(MaxFileBytes, 0, 1L << 40, nameof(MaxFileBytes));
        Range(MaxConcurrentRequests, 1, 100_000, nameof(MaxConcurrentRequests));
        Range(MaxConnections, 1, 100_000, nameof(MaxConnections));
        Range(RequestsPerSecond, 1, 1_000_000, nameof(RequestsPerSecond));
        Range((long)DefaultIdleTimeout.TotalSeconds, 0, 365L * 86_400, nameof(DefaultIdleTimeout));
        if (ShutdownTimeout < TimeSpan.Zero || ShutdownTimeout > TimeSpan.FromHours(1))
        {
            throw new ArgumentException($"{nameof(ShutdownTimeout)} of {ShutdownTimeout}: it must be from 0 to 1 hour");
        }

        if (PublicUrl is { } url && (!url.IsAbsoluteUri || url.Scheme is not ("http" or "https") || url.Query.Length > 0 || url.Fragment.Length > 0))
        {
            throw new ArgumentException($"{nameof(PublicUrl)} '{url}': an absolute http or https URL without query");
        }

        if (Uri.CheckHostName(PreviewDomain) != UriHostNameType.Dns || PreviewDomain.Length > 200)
        {
            throw new ArgumentException($"{nameof(PreviewDomain)} '{PreviewDomain}': a DNS name");
        }

        foreach (string key in ApiKeys)
        {
            Security.ApiKeyStore.Check(key, nameof(ApiKeys));
        }
    }

    /// <summary>The beginning of the URLs that a client is given.</summary>
    internal string BaseUrl(HttpContext context) => PublicUrl is { } url
        ? url.GetLeftPart(UriPartial.Path).TrimEnd('/')
        : $"{context.Request.Scheme}://{context.Request.Host}";

    /// <summary>The same, to be taken apart.</summary>
    /// <exception cref="ApiException">400: the request's Host is none.</exception>
    internal Uri BaseUri(HttpContext context) => Uri.TryCreate(BaseUrl(context), UriKind.Absolute, out Uri? url)
        ? url
        : throw ApiException.Bad($"no URL can be made of the request's Host '{context.Request.Host}'");

    private static void Range(long value, long smallest, long largest, string name)
    {
        if (value < smallest || value > largest)
        {
            throw new ArgumentException($"{name} of {value}: it must be from {smallest} to {largest}");
        }
    }

    private static string[] FromEnvironment() =>
        Environment.GetEnvironmentVariable("OPENSANDBOX_API_KEY") is { Length: > 0 } key ? [key] : [];
}
