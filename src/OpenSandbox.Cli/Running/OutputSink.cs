namespace OpenSandbox.Cli.Running;

/// <summary>Where a command's output goes. Called by one thread at a time.</summary>
internal abstract class OutputSink
{
    /// <summary>Takes a piece of output; may wait, and the command waits with it.</summary>
    internal abstract void Write(bool isError, ReadOnlySpan<byte> bytes);
}
