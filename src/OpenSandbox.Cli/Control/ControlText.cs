using System.Buffers;
using System.Text.Json;

namespace OpenSandbox.Cli.Control;

/// <summary>
/// The JSON of what every <c>exec</c> sends and gets, written and read by hand: compiling the generated code for it takes longer than
/// everything else that the program does for a command. The same text as <see cref="ControlJsonContext"/>'s.
/// </summary>
internal static class ControlText
{
    /// <summary>A request as JSON.</summary>
    internal static ReadOnlyMemory<byte> Write(ControlRequest request)
    {
        var buffer = new ArrayBufferWriter<byte>(initialCapacity: 512);
        using var json = new Utf8JsonWriter(buffer);
        json.WriteStartObject();
        json.WriteString("operation"u8, request.Operation);
        if (request.Command is ControlCommand command)
        {
            json.WriteStartObject("command"u8);
            Write(json, command);
            json.WriteEndObject();
        }

        if (request.File is ControlFile file)
        {
            json.WriteStartObject("file"u8);
            json.WriteString("path"u8, file.Path);
            WriteNumber(json, "mode"u8, file.Mode);
            WriteText(json, "user"u8, file.User);
            WriteNumber(json, "depth"u8, file.Depth);
            json.WriteEndObject();
        }

        WriteNumber(json, "port"u8, request.Port);
        if (request.Output is ControlOutput output)
        {
            json.WriteStartObject("output"u8);
            WriteText(json, "process"u8, output.Process);
            if (output.From is long from)
            {
                json.WriteNumber("from"u8, from);
            }

            json.WriteBoolean("follow"u8, output.Follow);
            json.WriteEndObject();
        }

        if (request.Change is ControlChange change)
        {
            json.WriteStartObject("change"u8);
            WriteText(json, "name"u8, change.Name);
            json.WriteBoolean("diskOnly"u8, change.DiskOnly);
            WriteText(json, "checkpoint"u8, change.Checkpoint);
            json.WriteBoolean("requireMemory"u8, change.RequireMemory);
            json.WriteBoolean("fromDisk"u8, change.FromDisk);
            json.WriteBoolean("pageOut"u8, change.PageOut);
            json.WriteNumber("count"u8, change.Count);
            json.WriteEndObject();
        }

        json.WriteEndObject();
        json.Flush();
        return buffer.WrittenMemory;
    }

    /// <summary>A command's end from JSON.</summary>
    /// <exception cref="ControlProtocolException">It is none.</exception>
    internal static ControlExit ReadExit(ReadOnlyMemory<byte> payload)
    {
        try
        {
            using JsonDocument json = JsonDocument.Parse(payload);
            JsonElement root = json.RootElement;
            return new ControlExit
            {
                ExitCode = root.GetProperty("exitCode"u8).GetInt32(),
                Signal = root.TryGetProperty("signal"u8, out JsonElement signal) ? signal.GetInt32() : null,
                TimedOut = root.TryGetProperty("timedOut"u8, out JsonElement timedOut) && timedOut.GetBoolean(),
                OutOfMemory = root.TryGetProperty("outOfMemory"u8, out JsonElement outOfMemory) && outOfMemory.GetBoolean(),
                WallMilliseconds = root.TryGetProperty("wallMilliseconds"u8, out JsonElement wall) ? wall.GetDouble() : 0,
                CpuMilliseconds = root.TryGetProperty("cpuMilliseconds"u8, out JsonElement cpu) ? cpu.GetDouble() : null,
            };
        }
        catch (Exception malformed) when (malformed is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new ControlProtocolException($"the keeper of the sandbox sent a malformed message: {malformed.Message}", malformed);
        }
    }

    private static void Write(Utf8JsonWriter json, ControlCommand command)
    {
        json.WriteStartArray("arguments"u8);
        foreach (string argument in command.Arguments)
        {
            json.WriteStringValue(argument);
        }

        json.WriteEndArray();
        if (command.Environment is not null)
        {
            json.WriteStartObject("environment"u8);
            foreach ((string name, string value) in command.Environment)
            {
                json.WriteString(name, value);
            }

            json.WriteEndObject();
        }

        WriteText(json, "workingDirectory"u8, command.WorkingDirectory);
        WriteText(json, "user"u8, command.User);
        if (command.TimeoutMilliseconds is double timeout)
        {
            json.WriteNumber("timeoutMilliseconds"u8, timeout);
        }

        json.WriteBoolean("input"u8, command.Input);
        if (command.Terminal is ControlTerminal terminal)
        {
            json.WriteStartObject("terminal"u8);
            json.WriteNumber("columns"u8, terminal.Columns);
            json.WriteNumber("rows"u8, terminal.Rows);
            json.WriteString("type"u8, terminal.Type);
            json.WriteEndObject();
        }

        json.WriteBoolean("detached"u8, command.Detached);
    }

    private static void WriteText(Utf8JsonWriter json, ReadOnlySpan<byte> name, string? value)
    {
        if (value is not null)
        {
            json.WriteString(name, value);
        }
    }

    private static void WriteNumber(Utf8JsonWriter json, ReadOnlySpan<byte> name, int? value)
    {
        if (value is int number)
        {
            json.WriteNumber(name, number);
        }
    }
}
