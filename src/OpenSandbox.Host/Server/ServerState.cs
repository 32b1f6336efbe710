namespace OpenSandbox.Host;

/// <summary>Whether the server can take work. Thread-safe.</summary>
internal sealed class ServerState
{
    private volatile string? _notReady = "it is being started";

    /// <summary>Why it takes no work; nothing when it does.</summary>
    internal string? NotReady
    {
        get => _notReady;
        set => _notReady = value;
    }
}
