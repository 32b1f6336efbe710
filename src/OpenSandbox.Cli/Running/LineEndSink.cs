using System.Text;

namespace OpenSandbox.Cli.Running;

/// <summary>Passes output through, and puts one more line behind it that is a line of its own whatever came before.</summary>
internal sealed class LineEndSink : OutputSink
{
    private bool _inLine;

    internal override void Write(bool isError, ReadOnlySpan<byte> bytes)
    {
        if (!isError && !bytes.IsEmpty)
        {
            _inLine = bytes[^1] != (byte)'\n';
        }

        StandardStreams.Write(isError ? StandardStreams.Error : StandardStreams.Output, bytes);
    }

    /// <summary>Writes the last line.</summary>
    internal void WriteLastLine(string text) =>
        StandardStreams.Write(StandardStreams.Output, Encoding.UTF8.GetBytes(_inLine ? $"\n{text}\n" : $"{text}\n"));
}
