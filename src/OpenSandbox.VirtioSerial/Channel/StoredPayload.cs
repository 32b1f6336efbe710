using System.Buffers;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace OpenSandbox.VirtioSerial;

/// <summary>
/// A JSON payload that was checked for form and kept in a rented buffer until its reader says which type it has. Not thread-safe: belongs to
/// the stream whose lock is held.
/// </summary>
internal struct StoredPayload
{
    /// <summary>Nesting of any payload; the same number stands in <see cref="ProtocolJsonContext"/>.</summary>
    internal const int MaxDepth = 8;

    private byte[]? _bytes;
    private int _length;

    /// <summary>Whether a payload is here.</summary>
    internal readonly bool HasValue => _bytes is not null;

    /// <summary>Copies a frame's payload after checking that it is one JSON object of bounded depth.</summary>
    /// <param name="payload">The payload, at most one frame.</param>
    /// <param name="type">The frame's type, for the message.</param>
    /// <exception cref="GuestProtocolException">It is not.</exception>
    internal void Store(in ReadOnlySequence<byte> payload, FrameType type)
    {
        Clear();
        int length = (int)payload.Length;
        byte[] bytes = ArrayPool<byte>.Shared.Rent(length);
        payload.CopyTo(bytes);
        _bytes = bytes;
        _length = length;
        Check(bytes.AsSpan(0, length), type);
    }

    /// <summary>Reads the payload as a type.</summary>
    /// <exception cref="GuestProtocolException">It has another shape.</exception>
    internal readonly T Read<T>(JsonTypeInfo<T> typeInfo, FrameType type) => Parse(_bytes.AsSpan(0, _length), typeInfo, type);

    /// <summary>Returns the buffer.</summary>
    internal void Clear()
    {
        if (_bytes is not null)
        {
            // Results and file names of one sandbox must not show up in a buffer that another one's code reads uninitialised.
            ArrayPool<byte>.Shared.Return(_bytes, clearArray: true);
            _bytes = null;
            _length = 0;
        }
    }

    /// <summary>Reads a payload in place, without storing it.</summary>
    internal static T Parse<T>(in ReadOnlySequence<byte> payload, JsonTypeInfo<T> typeInfo, FrameType type) =>
        Parse(payload.IsSingleSegment ? payload.FirstSpan : payload.ToArray(), typeInfo, type);

    private static T Parse<T>(ReadOnlySpan<byte> json, JsonTypeInfo<T> typeInfo, FrameType type)
    {
        try
        {
            return JsonSerializer.Deserialize(json, typeInfo)
                ?? throw new GuestProtocolException(ProtocolViolation.InvalidPayload, $"The payload of {type} is null.");
        }
        catch (JsonException e)
        {
            throw Invalid(type, e);
        }
    }

    private static void Check(ReadOnlySpan<byte> json, FrameType type)
    {
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = MaxDepth });
        try
        {
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
            {
                throw new GuestProtocolException(ProtocolViolation.InvalidPayload, $"The payload of {type} is not a JSON object.");
            }

            while (reader.Read())
            {
                // Reading to the end is the check.
            }
        }
        catch (JsonException e)
        {
            throw Invalid(type, e);
        }
    }

    private static GuestProtocolException Invalid(FrameType type, JsonException e) =>
        new(ProtocolViolation.InvalidPayload, $"The payload of {type} is not what the protocol says: {e.Message}", e);
}
