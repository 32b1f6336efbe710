namespace OpenSandbox.Cli.Control;

/// <summary>The other side of a control socket broke the protocol; the connection is of no more use.</summary>
internal sealed class ControlProtocolException(string message, Exception? inner = null) : IOException(message, inner);
