using System.Text.Json;
using System.Text.Unicode;

namespace OpenSandbox.Qmp.Protocol;

/// <summary>Turns a line into a <see cref="Message"/>. Static and stateless; everything it does not understand is a <see cref="QmpProtocolException"/>.</summary>
/// <remarks>
/// Lines come in one piece. The runtime's JSON reader can also read segments, but a literal that is wrong across a boundary makes it throw
/// <see cref="IndexOutOfRangeException"/> (runtime 10.0; found by the property tests), and QEMU chooses both the literal and the boundary.
/// </remarks>
internal static class MessageParser
{
    /// <summary>Deepest nesting of a line that is taken.</summary>
    internal const int MaxDepth = 64;

    /// <summary>Longest event name that is taken; QEMU's longest has 34 characters.</summary>
    internal const int MaxEventNameLength = 128;

    private static readonly JsonReaderOptions s_options = new() { MaxDepth = MaxDepth };

    /// <summary>A reader over a checked value, such as <see cref="Message.Payload"/>.</summary>
    internal static Utf8JsonReader CreateReader(ReadOnlySpan<byte> json) => new(json, s_options);

    /// <summary>Checks all of <paramref name="line"/> (encoding, JSON, depth, shape) and says what it is.</summary>
    /// <exception cref="QmpProtocolException">The line is not a QMP message.</exception>
    internal static Message Parse(ReadOnlySpan<byte> line)
    {
        if (!Utf8.IsValid(line))
        {
            throw new QmpProtocolException("QEMU sent a line that is not UTF-8");
        }

        try
        {
            return ParseMembers(line);
        }
        catch (JsonException e)
        {
            throw new QmpProtocolException($"QEMU sent a line that is not JSON of at most {MaxDepth} levels", e);
        }
        catch (InvalidOperationException e)
        {
            // The reader's way of saying that an escaped string has half a surrogate pair.
            throw new QmpProtocolException("QEMU sent a string that is not Unicode", e);
        }
    }

    private static Message ParseMembers(ReadOnlySpan<byte> line)
    {
        Utf8JsonReader reader = CreateReader(line);
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
        {
            throw WrongShape("is not an object");
        }

        Members seen = Members.None;
        long id = 0;
        ReadOnlySpan<byte> payload = default;
        int tokens = 0;
        string eventName = string.Empty;
        DateTimeOffset? timestamp = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            Members member = Identify(ref reader);
            if ((seen & member) != Members.None)
            {
                throw WrongShape("names a member twice");
            }

            seen |= member;
            reader.Read();
            switch (member)
            {
                case Members.Id:
                    if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out id))
                    {
                        throw WrongShape("has an id that is not one of ours");
                    }

                    break;
                case Members.Return or Members.Error or Members.Data or Members.Greeting:
                    if (member != Members.Return && reader.TokenType != JsonTokenType.StartObject)
                    {
                        throw WrongShape("has a body that is not an object");
                    }

                    int start = (int)reader.TokenStartIndex;
                    tokens = Skip(ref reader);
                    payload = line[start..(int)reader.BytesConsumed];
                    break;
                case Members.Event:
                    eventName = ReadEventName(ref reader);
                    break;
                case Members.Timestamp:
                    timestamp = TimestampParser.Read(ref reader);
                    break;
                default:
                    Skip(ref reader);
                    break;
            }
        }

        // The object ended (anything else makes the reader throw); what follows must be white space.
        reader.Read();
        return new Message
        {
            Kind = Classify(seen),
            Id = id,
            Payload = payload,
            PayloadTokens = tokens,
            EventName = eventName,
            Timestamp = timestamp,
        };
    }

    private static MessageKind Classify(Members seen) => (seen & Members.Bodies) switch
    {
        Members.Return when (seen & Members.Id) != Members.None => MessageKind.Return,
        Members.Error when (seen & Members.Id) != Members.None => MessageKind.Error,
        Members.Return => throw WrongShape("is a reply without an id"),

        // QEMU reports input that it cannot parse this way. What we send is well-formed, so one of us has lost the thread.
        Members.Error => throw WrongShape("is an error without an id"),
        Members.Greeting => MessageKind.Greeting,
        Members.Event or (Members.Event | Members.Data) => MessageKind.Event,
        _ => throw WrongShape("is neither greeting, reply, error nor event"),
    };

    private static Members Identify(ref Utf8JsonReader reader)
    {
        CheckEscapes(ref reader);
        if (reader.ValueTextEquals("return"u8))
        {
            return Members.Return;
        }

        if (reader.ValueTextEquals("id"u8))
        {
            return Members.Id;
        }

        if (reader.ValueTextEquals("event"u8))
        {
            return Members.Event;
        }

        if (reader.ValueTextEquals("timestamp"u8))
        {
            return Members.Timestamp;
        }

        if (reader.ValueTextEquals("data"u8))
        {
            return Members.Data;
        }

        if (reader.ValueTextEquals("error"u8))
        {
            return Members.Error;
        }

        return reader.ValueTextEquals("QMP"u8) ? Members.Greeting : Members.None;
    }

    /// <summary>Moves past the value that the reader is on, checking it. Returns the number of its tokens.</summary>
    internal static int Skip(ref Utf8JsonReader reader)
    {
        int tokens = 1;
        int depth = reader.CurrentDepth;
        bool nested = reader.TokenType is JsonTokenType.StartObject or JsonTokenType.StartArray;
        CheckEscapes(ref reader);
        while (nested && reader.Read())
        {
            tokens++;
            CheckEscapes(ref reader);
            nested = reader.CurrentDepth != depth || reader.TokenType is not (JsonTokenType.EndObject or JsonTokenType.EndArray);
        }

        return tokens;
    }

    /// <summary>Unescapes strings that carry escapes (few do): only that finds half surrogate pairs, and nobody shall find them later.</summary>
    private static void CheckEscapes(ref Utf8JsonReader reader)
    {
        if (reader.TokenType is JsonTokenType.String or JsonTokenType.PropertyName && reader.ValueIsEscaped)
        {
            _ = reader.GetString();
        }
    }

    private static string ReadEventName(ref Utf8JsonReader reader)
    {
        string? name = reader.TokenType == JsonTokenType.String ? reader.GetString() : null;
        if (string.IsNullOrEmpty(name) || name.Length > MaxEventNameLength || !QmpNames.IsName(name))
        {
            throw WrongShape("has an event name that is none");
        }

        return name;
    }

    private static QmpProtocolException WrongShape(string what) => new($"QEMU sent a line that {what}");

    [Flags]
    private enum Members
    {
        None = 0,
        Id = 1,
        Return = 2,
        Error = 4,
        Event = 8,
        Timestamp = 16,
        Data = 32,
        Greeting = 64,
        Bodies = Return | Error | Event | Data | Greeting,
    }
}
