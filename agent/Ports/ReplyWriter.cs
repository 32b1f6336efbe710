using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// Turns replies into JSON in one reused buffer. Those of every small request are written directly, to the same bytes as the serializer's,
/// whose way through its metadata takes several times as long, which counts under emulation. One thread's own.
/// </summary>
[SuppressMessage("Reliability", "CA1001", Justification = "over a buffer in memory the writer holds nothing that needs to be released")]
internal sealed class ReplyWriter
{
    private static readonly JsonEncodedText s_path = JsonEncodedText.Encode("path");
    private static readonly JsonEncodedText s_type = JsonEncodedText.Encode("type");
    private static readonly JsonEncodedText s_size = JsonEncodedText.Encode("size");
    private static readonly JsonEncodedText s_mode = JsonEncodedText.Encode("mode");
    private static readonly JsonEncodedText s_uid = JsonEncodedText.Encode("uid");
    private static readonly JsonEncodedText s_gid = JsonEncodedText.Encode("gid");
    private static readonly JsonEncodedText s_modified = JsonEncodedText.Encode("modifiedNanoseconds");
    private static readonly JsonEncodedText s_linkTarget = JsonEncodedText.Encode("linkTarget");
    private static readonly JsonEncodedText s_file = JsonEncodedText.Encode("file");
    private static readonly JsonEncodedText s_bytes = JsonEncodedText.Encode("bytes");
    private static readonly JsonEncodedText s_count = JsonEncodedText.Encode("count");
    private static readonly JsonEncodedText s_details = JsonEncodedText.Encode("details");
    private static readonly JsonEncodedText s_fileMicroseconds = JsonEncodedText.Encode("fileMicroseconds");
    private static readonly JsonEncodedText s_pid = JsonEncodedText.Encode("pid");

    private readonly ArrayBufferWriter<byte> _buffer = new(1024);
    private readonly Utf8JsonWriter _writer;

    /// <summary>Prepares the buffer.</summary>
    internal ReplyWriter() => _writer = new Utf8JsonWriter(_buffer, new JsonWriterOptions { SkipValidation = true });

    /// <summary>Writes one reply.</summary>
    /// <returns>Its JSON, valid until the next call.</returns>
    internal ReadOnlySpan<byte> Write<T>(T message, JsonTypeInfo<T> shape)
    {
        _buffer.ResetWrittenCount();
        _writer.Reset();
        switch (message)
        {
            case FileResult result:
                Write(result);
                break;
            case FileEntry entry:
                _writer.WriteStartObject();
                WriteFields(entry);
                break;
            case StartedReply { Process: null } started:
                Write(started);
                break;
            default:
                JsonSerializer.Serialize(_writer, message, shape);
                break;
        }

        _writer.Flush();
        return _buffer.WrittenSpan;
    }

    private void Write(FileResult result)
    {
        _writer.WriteStartObject();
        Write(result.File);
        _writer.WriteNumber(s_bytes, result.Bytes);
        if (result.Count is { } count)
        {
            _writer.WriteNumber(s_count, count);
        }

        _writer.WriteNumber(s_fileMicroseconds, result.FileMicroseconds);
        _writer.WriteEndObject();
    }

    private void Write(StartedReply started)
    {
        _writer.WriteStartObject();
        if (started.Pid is { } pid)
        {
            _writer.WriteNumber(s_pid, pid);
        }

        Write(started.File);
        _writer.WriteEndObject();
    }

    private void Write(FileEntry? file)
    {
        if (file is null)
        {
            return;
        }

        _writer.WriteStartObject(s_file);
        WriteFields(file);
    }

    /// <summary>The fields and the end of the object.</summary>
    private void WriteFields(FileEntry file)
    {
        _writer.WriteString(s_path, file.Path);
        _writer.WriteString(s_type, file.Type);
        _writer.WriteNumber(s_size, file.Size);
        _writer.WriteNumber(s_mode, file.Mode);
        _writer.WriteNumber(s_uid, file.Uid);
        _writer.WriteNumber(s_gid, file.Gid);
        _writer.WriteNumber(s_modified, file.ModifiedNanoseconds);
        if (file.LinkTarget is { } target)
        {
            _writer.WriteString(s_linkTarget, target);
        }

        if (file.Details is { } details)
        {
            _writer.WritePropertyName(s_details);
            JsonSerializer.Serialize(_writer, details, ProtocolJsonContext.Default.FileDetails);
        }

        _writer.WriteEndObject();
    }
}
