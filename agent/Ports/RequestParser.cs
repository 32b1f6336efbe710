using System.Text.Json;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// Parses requests. Those of the usual shape are read directly: the serializer's way through its metadata takes several times as long, which
/// counts under emulation. Whatever is unusual (unknown fields, nulls, broken text) goes to the serializer, which alone decides what is refused.
/// </summary>
internal static class RequestParser
{
    /// <summary>Parses a request.</summary>
    /// <exception cref="GuestException">It is none.</exception>
    internal static OpenRequest Parse(ReadOnlySpan<byte> json)
    {
        if (TryParseUsual(json) is { } request)
        {
            return request;
        }

        try
        {
            return JsonSerializer.Deserialize(json, ProtocolJsonContext.Default.OpenRequest)
                ?? throw GuestException.Coded(AgentErrorCodes.InvalidRequest, "request is null");
        }
        catch (JsonException exception)
        {
            throw GuestException.Coded(AgentErrorCodes.InvalidRequest, exception.Message);
        }
    }

    /// <summary>Parses a request of the usual shape.</summary>
    /// <returns>What the serializer would return as well, or <see langword="null"/>: ask the serializer.</returns>
    internal static OpenRequest? TryParseUsual(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json);
        try
        {
            return reader.Read() && reader.TokenType == JsonTokenType.StartObject
                && ReadRequest(ref reader) is { } request && !reader.Read()
                ? request
                : null;
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            return null; // broken JSON, or a string that is no UTF-8: the serializer says which
        }
    }

    private static OpenRequest? ReadRequest(ref Utf8JsonReader reader)
    {
        string? op = null;
        ExecRequest? exec = null;
        FileRequest? file = null;
        long? length = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            bool read = reader.ValueTextEquals("op"u8) ? TryString(ref reader, out op)
                : reader.ValueTextEquals("file"u8) ? StartsObject(ref reader) && (file = ReadFile(ref reader)) is not null
                : reader.ValueTextEquals("exec"u8) ? StartsObject(ref reader) && (exec = ReadExec(ref reader)) is not null
                : reader.ValueTextEquals("length"u8) && TryNumber(ref reader, out length);
            if (!read)
            {
                return null;
            }
        }

        return op is null ? null : new OpenRequest { Op = op, Exec = exec, File = file, Length = length };
    }

    private static FileRequest? ReadFile(ref Utf8JsonReader reader)
    {
        string? path = null;
        string? user = null;
        string? group = null;
        long? mode = null;
        long? offset = null;
        long? length = null;
        long? depth = null;
        bool recursive = false;
        bool ignoreMissing = false;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            bool read = reader.ValueTextEquals("path"u8) ? TryString(ref reader, out path)
                : reader.ValueTextEquals("recursive"u8) ? TryFlag(ref reader, out recursive)
                : reader.ValueTextEquals("ignoreMissing"u8) ? TryFlag(ref reader, out ignoreMissing)
                : reader.ValueTextEquals("mode"u8) ? TryNumber(ref reader, out mode)
                : reader.ValueTextEquals("user"u8) ? TryString(ref reader, out user)
                : reader.ValueTextEquals("offset"u8) ? TryNumber(ref reader, out offset)
                : reader.ValueTextEquals("length"u8) ? TryNumber(ref reader, out length)
                : reader.ValueTextEquals("depth"u8) ? TryNumber(ref reader, out depth)
                : reader.ValueTextEquals("group"u8) && TryString(ref reader, out group);
            if (!read)
            {
                return null;
            }
        }

        if (path is null || mode is < int.MinValue or > int.MaxValue || depth is < int.MinValue or > int.MaxValue)
        {
            return null;
        }

        return new FileRequest
        {
            Path = path,
            Mode = (int?)mode,
            User = user,
            Group = group,
            Recursive = recursive,
            Offset = offset,
            Length = length,
            Depth = (int?)depth,
            IgnoreMissing = ignoreMissing,
        };
    }

    private static ExecRequest? ReadExec(ref Utf8JsonReader reader)
    {
        string[]? argv = null;
        Dictionary<string, string>? environment = null;
        string? directory = null;
        string? user = null;
        bool standardInput = false;
        long? timeout = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            bool read = reader.ValueTextEquals("argv"u8) ? (argv = ReadStrings(ref reader)) is not null
                : reader.ValueTextEquals("environment"u8) ? (environment = ReadMap(ref reader)) is not null
                : reader.ValueTextEquals("workingDirectory"u8) ? TryString(ref reader, out directory)
                : reader.ValueTextEquals("user"u8) ? TryString(ref reader, out user)
                : reader.ValueTextEquals("standardInput"u8) ? TryFlag(ref reader, out standardInput)
                : reader.ValueTextEquals("timeoutMilliseconds"u8) && TryNumber(ref reader, out timeout);
            if (!read)
            {
                return null;
            }
        }

        return argv is null
            ? null
            : new ExecRequest
            {
                Argv = argv,
                Environment = environment,
                WorkingDirectory = directory,
                User = user,
                StandardInput = standardInput,
                TimeoutMilliseconds = timeout,
            };
    }

    private static string[]? ReadStrings(ref Utf8JsonReader reader)
    {
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartArray)
        {
            return null;
        }

        var strings = new List<string>();
        while (reader.Read() && reader.TokenType == JsonTokenType.String)
        {
            strings.Add(reader.GetString() ?? "");
        }

        return reader.TokenType == JsonTokenType.EndArray ? [.. strings] : null;
    }

    private static Dictionary<string, string>? ReadMap(ref Utf8JsonReader reader)
    {
        if (!StartsObject(ref reader))
        {
            return null;
        }

        var map = new Dictionary<string, string>(StringComparer.Ordinal);
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string name = reader.GetString() ?? "";
            if (!TryString(ref reader, out string? value) || value is null)
            {
                return null;
            }

            map[name] = value;
        }

        return map;
    }

    private static bool StartsObject(ref Utf8JsonReader reader) => reader.Read() && reader.TokenType == JsonTokenType.StartObject;

    private static bool TryString(ref Utf8JsonReader reader, out string? value)
    {
        value = reader.Read() && reader.TokenType == JsonTokenType.String ? reader.GetString() : null;
        return value is not null;
    }

    private static bool TryFlag(ref Utf8JsonReader reader, out bool value)
    {
        value = reader.Read() && reader.TokenType == JsonTokenType.True;
        return value || reader.TokenType == JsonTokenType.False;
    }

    private static bool TryNumber(ref Utf8JsonReader reader, out long? value)
    {
        bool read = reader.Read() && reader.TokenType == JsonTokenType.Number;
        value = read && reader.TryGetInt64(out long number) ? number : null;
        return value is not null;
    }
}
