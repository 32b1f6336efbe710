using System.Text.Json;
using OpenSandbox.Qmp.Transport;

namespace OpenSandbox.Qmp;

// Arguments: how each shape is written. Made once: a command in flight costs no delegate.
public sealed partial class QmpClient
{
    /// <summary>Copies an object that has been checked.</summary>
    private static readonly ArgumentsWriter<ReadOnlySpan<byte>> s_writeRaw =
        static (writer, json) => writer.WriteRawValue(json, skipInputValidation: true);

    private static readonly ArgumentsWriter<ReadOnlySpan<byte>> s_writeReopen = static (writer, json) =>
    {
        writer.WriteStartObject();
        writer.WriteStartArray("options"u8);
        writer.WriteRawValue(json, skipInputValidation: true);
        writer.WriteEndArray();
        writer.WriteEndObject();
    };

    private static readonly ArgumentsWriter<TextArguments> s_writeText = static (writer, arguments) =>
    {
        writer.WriteStartObject();
        writer.WriteString(arguments.Name, arguments.Value);
        if (arguments.SecondName is not null)
        {
            writer.WriteString(arguments.SecondName, arguments.SecondValue);
        }

        writer.WriteEndObject();
    };

    private static readonly ArgumentsWriter<(string Path, string Property, bool Value)> s_writeBoolean = static (writer, arguments) =>
    {
        writer.WriteStartObject();
        writer.WriteString("path"u8, arguments.Path);
        writer.WriteString("property"u8, arguments.Property);
        writer.WriteBoolean("value"u8, arguments.Value);
        writer.WriteEndObject();
    };

    private static readonly ArgumentsWriter<(string Path, string Property, long Value)> s_writeInteger = static (writer, arguments) =>
    {
        writer.WriteStartObject();
        writer.WriteString("path"u8, arguments.Path);
        writer.WriteString("property"u8, arguments.Property);
        writer.WriteNumber("value"u8, arguments.Value);
        writer.WriteEndObject();
    };

    private static readonly ArgumentsWriter<(string Path, string Property, string Value)> s_writeString = static (writer, arguments) =>
    {
        writer.WriteStartObject();
        writer.WriteString("path"u8, arguments.Path);
        writer.WriteString("property"u8, arguments.Property);
        writer.WriteString("value"u8, arguments.Value);
        writer.WriteEndObject();
    };

    private static readonly ArgumentsWriter<(string Capability, bool Enabled)> s_writeCapability = static (writer, arguments) =>
        WriteCapabilities(writer, [KeyValuePair.Create(arguments.Capability, arguments.Enabled)]);

    private static readonly ArgumentsWriter<KeyValuePair<string, bool>[]> s_writeCapabilities = static (writer, arguments) =>
        WriteCapabilities(writer, arguments);

    private static readonly ArgumentsWriter<(string FileName, bool Live)> s_writeSave = static (writer, arguments) =>
    {
        writer.WriteStartObject();
        writer.WriteString("filename"u8, arguments.FileName);
        writer.WriteBoolean("live"u8, arguments.Live);
        writer.WriteEndObject();
    };

    private static readonly ArgumentsWriter<(long? FdSetId, string? Opaque)> s_writeAddFd = static (writer, arguments) =>
    {
        writer.WriteStartObject();
        if (arguments.FdSetId is { } fdSetId)
        {
            writer.WriteNumber("fdset-id"u8, fdSetId);
        }

        if (arguments.Opaque is not null)
        {
            writer.WriteString("opaque"u8, arguments.Opaque);
        }

        writer.WriteEndObject();
    };

    private static readonly ArgumentsWriter<(long FdSetId, long? Fd)> s_writeRemoveFd = static (writer, arguments) =>
    {
        writer.WriteStartObject();
        writer.WriteNumber("fdset-id"u8, arguments.FdSetId);
        if (arguments.Fd is { } fd)
        {
            writer.WriteNumber("fd"u8, fd);
        }

        writer.WriteEndObject();
    };

    private static void WriteCapabilities(Utf8JsonWriter writer, ReadOnlySpan<KeyValuePair<string, bool>> capabilities)
    {
        writer.WriteStartObject();
        writer.WriteStartArray("capabilities"u8);
        foreach ((string capability, bool enabled) in capabilities)
        {
            writer.WriteStartObject();
            writer.WriteString("capability"u8, capability);
            writer.WriteBoolean("state"u8, enabled);
            writer.WriteEndObject();
        }

        writer.WriteEndArray();
        writer.WriteEndObject();
    }
}
