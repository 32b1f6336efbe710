namespace OpenSandbox.Host.Api;

/// <summary><c>{"timeout":N}</c>.</summary>
internal sealed record TimeoutRequest
{
    public int? Timeout { get; init; }
}
