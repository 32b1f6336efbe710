namespace OpenSandbox.Host.Api;

/// <summary><c>{"status":"…"}</c>.</summary>
/// <param name="Status">The word.</param>
/// <param name="Reason">Why, where it is not well.</param>
internal sealed record StatusReply(string Status, string? Reason = null);
