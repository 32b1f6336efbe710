using System.IO.Pipelines;
using System.Text;
using System.Text.Json;
using OpenSandbox.Host.Json;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Api;

/// <summary>Writes a command's result without ever having its text as a whole: it may be many times as long as the output.</summary>
internal static class ExecReplyWriter
{
    private const int PieceBytes = 16 << 10;

    /// <summary>Whether a result is worth it.</summary>
    internal static bool IsFor(ExecResult result) => result.StandardOutputBytes.Length + (long)result.StandardErrorBytes.Length > PieceBytes;

    /// <summary>Writes what <see cref="ExecReply"/> is as JSON.</summary>
    /// <param name="output">Where.</param>
    /// <param name="exitCode">The exit code.</param>
    /// <param name="standardOutput">Standard output.</param>
    /// <param name="standardError">Standard error.</param>
    /// <param name="errorEnd">What is added to it.</param>
    /// <param name="truncated">Whether something is left out.</param>
    /// <param name="cancellationToken">The client has gone.</param>
    internal static async Task WriteAsync(
        PipeWriter output,
        int exitCode,
        ReadOnlyMemory<byte> standardOutput,
        ReadOnlyMemory<byte> standardError,
        string errorEnd,
        bool truncated,
        CancellationToken cancellationToken)
    {
        using var writer = new Utf8JsonWriter(output, new JsonWriterOptions { Encoder = HostJsonContext.Default.Options.Encoder });
        writer.WriteStartObject();
        writer.WriteNumber("exitCode", exitCode);
        writer.WritePropertyName("stdout");
        await WriteTextAsync(output, writer, standardOutput, "", cancellationToken).ConfigureAwait(false);
        writer.WritePropertyName("stderr");
        await WriteTextAsync(output, writer, standardError, errorEnd, cancellationToken).ConfigureAwait(false);
        if (truncated)
        {
            writer.WriteBoolean("truncated", true);
        }

        writer.WriteEndObject();
        writer.Flush();
        await output.FlushAsync(cancellationToken).ConfigureAwait(false);
    }

    private static async Task WriteTextAsync(
        PipeWriter output, Utf8JsonWriter writer, ReadOnlyMemory<byte> text, string end, CancellationToken cancellationToken)
    {
        Decoder decoder = Encoding.UTF8.GetDecoder();
        char[] characters = new char[Encoding.UTF8.GetMaxCharCount(PieceBytes)];
        while (text.Length > PieceBytes)
        {
            int count = decoder.GetChars(text.Span[..PieceBytes], characters, flush: false);
            writer.WriteStringValueSegment(characters.AsSpan(0, count), isFinalSegment: false);
            text = text[PieceBytes..];
            writer.Flush();
            await output.FlushAsync(cancellationToken).ConfigureAwait(false);
        }

        int last = decoder.GetChars(text.Span, characters, flush: true);
        writer.WriteStringValueSegment(characters.AsSpan(0, last), isFinalSegment: false);
        writer.WriteStringValueSegment(end, isFinalSegment: true);
    }
}
