using System.Buffers;

namespace OpenSandbox.Cli.Running;

/// <summary>Keeps the beginning of each output; what is beyond the limit is dropped, and remembered to have been.</summary>
internal sealed class CapturingSink(int limit = CapturingSink.DefaultLimit) : OutputSink
{
    /// <summary>Bytes of each output that are kept.</summary>
    internal const int DefaultLimit = 16 << 20;

    private readonly ArrayBufferWriter<byte> _output = new();
    private readonly ArrayBufferWriter<byte> _error = new();

    internal ReadOnlyMemory<byte> Output => _output.WrittenMemory;

    internal ReadOnlyMemory<byte> Error => _error.WrittenMemory;

    internal bool OutputTruncated { get; private set; }

    internal bool ErrorTruncated { get; private set; }

    internal override void Write(bool isError, ReadOnlySpan<byte> bytes)
    {
        ArrayBufferWriter<byte> kept = isError ? _error : _output;
        int room = limit - kept.WrittenCount;
        if (bytes.Length > room)
        {
            bytes = bytes[..room];
            OutputTruncated |= !isError;
            ErrorTruncated |= isError;
        }

        kept.Write(bytes);
    }
}
