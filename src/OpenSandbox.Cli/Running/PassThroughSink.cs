namespace OpenSandbox.Cli.Running;

/// <summary>The command's output is this program's, byte for byte and at once.</summary>
internal sealed class PassThroughSink : OutputSink
{
    internal override void Write(bool isError, ReadOnlySpan<byte> bytes) =>
        StandardStreams.Write(isError ? StandardStreams.Error : StandardStreams.Output, bytes);
}
