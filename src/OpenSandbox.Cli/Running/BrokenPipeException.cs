namespace OpenSandbox.Cli.Running;

/// <summary>Whoever read our output has gone, as <c>head</c> does: not a failure, but the end.</summary>
internal sealed class BrokenPipeException() : Exception("Nobody reads the output any more.");
