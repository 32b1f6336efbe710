using System.Buffers;
using System.Buffers.Binary;

namespace OpenSandbox.VirtioSerial;

/// <summary>Puts files into one stream's Data, for <see cref="RecordReader"/>: head, content in chunks, end.</summary>
/// <param name="target">Gets the bytes.</param>
public readonly struct RecordWriter(IBufferWriter<byte> target)
{
    /// <summary>Begins a record.</summary>
    /// <param name="head">Its head: JSON, 1 to <see cref="RecordReader.MaxHeadBytes"/> bytes.</param>
    /// <exception cref="ArgumentOutOfRangeException">The head is empty or too long.</exception>
    public void WriteHead(ReadOnlySpan<byte> head)
    {
        ArgumentOutOfRangeException.ThrowIfZero(head.Length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(head.Length, RecordReader.MaxHeadBytes);
        WriteNumber((uint)head.Length);
        target.Write(head);
    }

    /// <summary>Adds content to the record.</summary>
    /// <param name="content">Any number of bytes.</param>
    public void WriteContent(ReadOnlySpan<byte> content)
    {
        while (!content.IsEmpty)
        {
            int count = Math.Min(content.Length, RecordReader.MaxChunkBytes);
            WriteNumber((uint)count);
            target.Write(content[..count]);
            content = content[count..];
        }
    }

    /// <summary>Ends the record.</summary>
    public void WriteEnd() => WriteNumber(0);

    /// <summary>Breaks the record off.</summary>
    /// <param name="failure">JSON of an <see cref="ItemError"/>, 1 to <see cref="RecordReader.MaxHeadBytes"/> bytes.</param>
    /// <exception cref="ArgumentOutOfRangeException">It is empty or too long.</exception>
    public void WriteFailure(ReadOnlySpan<byte> failure)
    {
        ArgumentOutOfRangeException.ThrowIfZero(failure.Length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(failure.Length, RecordReader.MaxHeadBytes);
        WriteNumber(RecordReader.FailureMark);
        WriteNumber((uint)failure.Length);
        target.Write(failure);
    }

    private void WriteNumber(uint number)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(target.GetSpan(sizeof(uint)), number);
        target.Advance(sizeof(uint));
    }
}
