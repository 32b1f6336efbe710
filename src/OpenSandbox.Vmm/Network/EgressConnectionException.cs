namespace OpenSandbox.Vmm;

/// <summary>An established connection is gone; nothing more can be sent or received.</summary>
internal sealed class EgressConnectionException(EgressConnectionEnd end, string message, Exception? inner = null) : IOException(message, inner)
{
    /// <summary>How it ended.</summary>
    internal EgressConnectionEnd End { get; } = end;
}
