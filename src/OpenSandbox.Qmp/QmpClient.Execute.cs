using System.Buffers;
using System.Text.Json;
using System.Text.Unicode;
using OpenSandbox.Qmp.Protocol;
using OpenSandbox.Qmp.Transport;

namespace OpenSandbox.Qmp;

// Execute: any command, for those that have no method of their own.
public sealed partial class QmpClient
{
    /// <summary>Sends any command.</summary>
    /// <param name="command">Its name: 1 to 128 letters, digits, <c>_</c>, <c>-</c> or <c>.</c></param>
    /// <param name="argumentsJson">A JSON object in UTF-8, at most 64 levels deep; empty for no arguments. Copied before this returns.</param>
    /// <param name="timeout">Null for <see cref="QmpClientOptions.CommandTimeout"/>; more than 0, at most one day.</param>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <returns>What QEMU returned; it owns its memory.</returns>
    /// <exception cref="ArgumentException">The name is none, or the arguments are not a JSON object.</exception>
    /// <exception cref="InvalidOperationException">Too many commands are waiting.</exception>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task<JsonElement> ExecuteAsync(
        string command, ReadOnlyMemory<byte> argumentsJson = default, TimeSpan? timeout = null, CancellationToken cancellationToken = default)
    {
        CheckCommand(command);
        if (argumentsJson.IsEmpty)
        {
            return Send(command, Replies.Element, Limit(timeout), cancellationToken);
        }

        CheckObject(argumentsJson.Span, nameof(argumentsJson));
        return Send(command, Replies.Element, argumentsJson.Span, s_writeRaw, descriptor: null, Limit(timeout), cancellationToken);
    }

    /// <summary>Sends any command, with arguments that a callback writes.</summary>
    /// <param name="command">Its name: 1 to 128 letters, digits, <c>_</c>, <c>-</c> or <c>.</c></param>
    /// <param name="writeArguments">Writes the members of the arguments object, whose braces are written around them. Runs before this returns.</param>
    /// <param name="timeout">Null for <see cref="QmpClientOptions.CommandTimeout"/>; more than 0, at most one day.</param>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <returns>What QEMU returned; it owns its memory.</returns>
    /// <exception cref="ArgumentException">The name is none, or the callback left the object unfinished.</exception>
    /// <exception cref="InvalidOperationException">Too many commands are waiting, or the callback wrote what is not JSON.</exception>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task<JsonElement> ExecuteAsync(
        string command, Action<Utf8JsonWriter> writeArguments, TimeSpan? timeout = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(writeArguments);

        // Written aside: code of the caller's must not run with the lock held, nor leave half a command in the queue.
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer))
        {
            writer.WriteStartObject();
            writeArguments(writer);
            if (writer.CurrentDepth != 1)
            {
                throw new ArgumentException("The callback left an object or array open, or closed one too many", nameof(writeArguments));
            }

            writer.WriteEndObject();
        }

        return ExecuteAsync(command, buffer.WrittenMemory, timeout, cancellationToken);
    }

    private TimeSpan Limit(TimeSpan? timeout) => timeout is { } limit ? QmpClientOptions.CheckTimeout(limit) : _options.CommandTimeout;

    private static void CheckCommand(string command)
    {
        ArgumentException.ThrowIfNullOrEmpty(command);
        if (command.Length > QmpNames.MaxCommandLength || !QmpNames.IsName(command))
        {
            throw new ArgumentException("Not the name of a QMP command", nameof(command));
        }
    }

    /// <summary>Half an object, or more than one, would swallow or forge the commands that follow it.</summary>
    private static void CheckObject(ReadOnlySpan<byte> json, string parameterName)
    {
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = MessageParser.MaxDepth });
        try
        {
            if (Utf8.IsValid(json) && reader.Read() && reader.TokenType == JsonTokenType.StartObject)
            {
                reader.Skip();
                reader.Read();
                return;
            }
        }
        catch (JsonException e)
        {
            throw new ArgumentException($"Not a JSON object: {e.Message}", parameterName, e);
        }

        throw new ArgumentException("Not a JSON object in UTF-8", parameterName);
    }
}
