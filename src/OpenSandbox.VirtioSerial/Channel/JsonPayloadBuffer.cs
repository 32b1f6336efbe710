using System.Buffers;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace OpenSandbox.VirtioSerial;

/// <summary>Writes JSON payloads into a rented buffer with one reused writer. One per thread at a time; taken and given back, not shared.</summary>
internal sealed class JsonPayloadBuffer : IBufferWriter<byte>, IDisposable
{
    private const int InitialSize = 1_024;

    [ThreadStatic]
    private static JsonPayloadBuffer? t_spare;

    private readonly Utf8JsonWriter _writer;
    private byte[] _bytes = [];
    private int _length;

    // The serializer is the only one to write here, so the writer's own checks would check it twice.
    private JsonPayloadBuffer() => _writer = new Utf8JsonWriter(this, new JsonWriterOptions { SkipValidation = true });

    /// <summary>What was written; valid until <see cref="Dispose"/>.</summary>
    internal ReadOnlySpan<byte> Written => _bytes.AsSpan(0, _length);

    /// <summary>Serialises a value. Dispose the buffer on the thread that called this.</summary>
    /// <exception cref="ArgumentException">It takes more than <paramref name="maxSize"/> bytes.</exception>
    internal static JsonPayloadBuffer Write<T>(T value, JsonTypeInfo<T> typeInfo, int maxSize)
    {
        JsonPayloadBuffer buffer = t_spare ?? new JsonPayloadBuffer();
        t_spare = null;
        try
        {
            JsonSerializer.Serialize(buffer._writer, value, typeInfo);
            buffer._writer.Flush();
            if (buffer._length > maxSize)
            {
                throw new ArgumentException($"{typeof(T).Name} takes {buffer._length} bytes as JSON; at most {maxSize} are allowed.", nameof(value));
            }

            return buffer;
        }
        catch
        {
            buffer.Dispose();
            throw;
        }
    }

    /// <summary>Returns the bytes, cleared (a request may carry secrets), and keeps the writer for the next one.</summary>
    public void Dispose()
    {
        _writer.Reset();
        if (_bytes.Length > 0)
        {
            _bytes.AsSpan(0, _length).Clear();
            ArrayPool<byte>.Shared.Return(_bytes);
        }

        _bytes = [];
        _length = 0;
        t_spare = this;
    }

    /// <inheritdoc/>
    public void Advance(int count) => _length += count;

    /// <inheritdoc/>
    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        Reserve(sizeHint);
        return _bytes.AsMemory(_length);
    }

    /// <inheritdoc/>
    public Span<byte> GetSpan(int sizeHint = 0)
    {
        Reserve(sizeHint);
        return _bytes.AsSpan(_length);
    }

    private void Reserve(int sizeHint)
    {
        int needed = _length + Math.Max(sizeHint, 1);
        if (needed <= _bytes.Length)
        {
            return;
        }

        byte[] larger = ArrayPool<byte>.Shared.Rent(Math.Max(needed, Math.Max(InitialSize, 2 * _length)));
        Written.CopyTo(larger);
        if (_bytes.Length > 0)
        {
            _bytes.AsSpan(0, _length).Clear();
            ArrayPool<byte>.Shared.Return(_bytes);
        }

        _bytes = larger;
    }
}
