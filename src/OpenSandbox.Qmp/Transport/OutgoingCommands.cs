using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;

namespace OpenSandbox.Qmp.Transport;

/// <summary>Commands that wait to be sent, encoded. Not thread-safe: every member is used with the client's lock held.</summary>
/// <remarks>Commands that are queued while a send is under way leave together in the next one. An idle client holds no buffer.</remarks>
internal sealed class OutgoingCommands : IBufferWriter<byte>
{
    /// <summary>The most that may wait: more means that QEMU does not read.</summary>
    internal const int MaxUnsentBytes = 4 * 1024 * 1024;

    private const int FirstBufferBytes = 1024;
    private const int MaxIdDigits = 20;
    private static readonly JsonWriterOptions s_writerOptions = new() { SkipValidation = true };

    private byte[] _buffer = [];
    private int _count;
    private List<DescriptorMark>? _descriptors;
    private Utf8JsonWriter? _writer;

    /// <summary>Whether nothing waits.</summary>
    internal bool IsEmpty => _count == 0;

    /// <summary>Encodes a command at the end of the queue; on any exception the queue is as before.</summary>
    /// <exception cref="InvalidOperationException">Too much is waiting.</exception>
    /// <exception cref="ArgumentException">An argument is not valid UTF-16.</exception>
    /// <exception cref="ObjectDisposedException">The descriptor is closed.</exception>
    internal void Append<TState>(string command, long id, TState state, ArgumentsWriter<TState>? writeArguments, SafeHandle? descriptor)
        where TState : allows ref struct
    {
        int start = _count;
        try
        {
            Write("{\"execute\":\""u8);
            _count += Encoding.UTF8.GetBytes(command, GetSpan(Encoding.UTF8.GetMaxByteCount(command.Length)));
            if (writeArguments is null)
            {
                Write("\",\"id\":"u8);
            }
            else
            {
                Write("\",\"arguments\":"u8);
                WriteArguments(state, writeArguments);
                Write(",\"id\":"u8);
            }

            id.TryFormat(GetSpan(MaxIdDigits), out int digits);
            _count += digits;
            Write("}\r\n"u8);
            if (_count > MaxUnsentBytes)
            {
                throw new InvalidOperationException($"More than {MaxUnsentBytes} bytes of commands wait for QEMU to read them");
            }

            if (descriptor is not null)
            {
                Hold(start, descriptor);
            }
        }
        catch
        {
            _count = start;
            throw;
        }
    }

    /// <summary>Takes all that waits.</summary>
    internal bool TryTake(out OutgoingBatch batch)
    {
        if (_count == 0)
        {
            batch = default;
            return false;
        }

        batch = new OutgoingBatch(_buffer, _count, _descriptors);
        Reset();
        return true;
    }

    /// <summary>Drops all that waits.</summary>
    internal void Discard()
    {
        if (_buffer.Length > 0)
        {
            new OutgoingBatch(_buffer, _count, _descriptors).Release();
            Reset();
        }
    }

    /// <summary>Gives the references of marks back.</summary>
    internal static void ReleaseHandles(List<DescriptorMark>? marks)
    {
        if (marks is null)
        {
            return;
        }

        foreach (DescriptorMark mark in marks)
        {
            mark.Handle.DangerousRelease();
        }
    }

    /// <inheritdoc/>
    public void Advance(int count) => _count += count;

    /// <inheritdoc/>
    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        EnsureRoom(Math.Max(sizeHint, 1));
        return _buffer.AsMemory(_count);
    }

    /// <inheritdoc/>
    public Span<byte> GetSpan(int sizeHint = 0)
    {
        EnsureRoom(Math.Max(sizeHint, 1));
        return _buffer.AsSpan(_count);
    }

    private void WriteArguments<TState>(TState state, ArgumentsWriter<TState> writeArguments)
        where TState : allows ref struct
    {
        _writer ??= new Utf8JsonWriter(this, s_writerOptions);
        _writer.Reset();
        writeArguments(_writer, state);
        _writer.Flush();
    }

    private void Hold(int offset, SafeHandle descriptor)
    {
        _descriptors ??= [];
        _descriptors.EnsureCapacity(_descriptors.Count + 1);
        bool held = false;
        descriptor.DangerousAddRef(ref held);
        _descriptors.Add(new DescriptorMark(offset, descriptor));
    }

    private void Write(ReadOnlySpan<byte> bytes)
    {
        EnsureRoom(bytes.Length);
        bytes.CopyTo(_buffer.AsSpan(_count));
        _count += bytes.Length;
    }

    private void EnsureRoom(int size)
    {
        if (_buffer.Length - _count >= size)
        {
            return;
        }

        byte[] larger = ArrayPool<byte>.Shared.Rent(Math.Max(FirstBufferBytes, Math.Max(_count + size, _buffer.Length * 2)));
        _buffer.AsSpan(0, _count).CopyTo(larger);
        if (_buffer.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(_buffer);
        }

        _buffer = larger;
    }

    [MemberNotNull(nameof(_buffer))]
    private void Reset()
    {
        _buffer = [];
        _count = 0;
        _descriptors = null;
    }
}
