using System.Text.Json;

namespace OpenSandbox.Qmp.Protocol;

/// <summary>Reads <c>{"seconds": s, "microseconds": us}</c>.</summary>
internal static class TimestampParser
{
    /// <summary>Reads the object that <paramref name="reader"/> is on. Null when QEMU could not tell the time, which it writes as -1.</summary>
    /// <exception cref="QmpProtocolException">It is no such object, or no time that a calendar has.</exception>
    internal static DateTimeOffset? Read(ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            throw Invalid();
        }

        long seconds = -1;
        long microseconds = -1;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("seconds"u8))
            {
                seconds = ReadNumber(ref reader);
            }
            else if (reader.ValueTextEquals("microseconds"u8))
            {
                microseconds = ReadNumber(ref reader);
            }
            else
            {
                reader.Read();
                MessageParser.Skip(ref reader);
            }
        }

        if (seconds == -1 || microseconds == -1)
        {
            return null;
        }

        if (seconds < 0 || seconds > DateTimeOffset.MaxValue.ToUnixTimeSeconds() || microseconds is < 0 or > 999_999)
        {
            throw Invalid();
        }

        return DateTimeOffset.FromUnixTimeSeconds(seconds).AddMicroseconds(microseconds);
    }

    private static long ReadNumber(ref Utf8JsonReader reader)
    {
        reader.Read();
        return reader.TokenType == JsonTokenType.Number && reader.TryGetInt64(out long value) ? value : throw Invalid();
    }

    private static QmpProtocolException Invalid() => new("QEMU sent an event with a timestamp that is none");
}
