namespace OpenSandbox.Host.Api;

/// <summary>A signal for a session.</summary>
internal sealed record KillRequest
{
    /// <summary>Its number; default: 9.</summary>
    public int? Signal { get; init; }
}
