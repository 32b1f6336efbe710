using System.Buffers;

namespace OpenSandbox.Qmp.Tests.Support;

/// <summary>Bytes cut into segments, as a pipe hands them out.</summary>
internal sealed class Segments : ReadOnlySequenceSegment<byte>
{
    private Segments(ReadOnlyMemory<byte> memory, long index)
    {
        Memory = memory;
        RunningIndex = index;
    }

    /// <summary>Cuts <paramref name="bytes"/> into pieces of the sizes given, in turn.</summary>
    internal static ReadOnlySequence<byte> Cut(ReadOnlyMemory<byte> bytes, IReadOnlyList<int> sizes)
    {
        if (bytes.IsEmpty || sizes.Count == 0)
        {
            return new ReadOnlySequence<byte>(bytes);
        }

        Segments? first = null;
        Segments? last = null;
        for (int position = 0, i = 0; position < bytes.Length; i++)
        {
            int size = Math.Min(sizes[i % sizes.Count], bytes.Length - position);
            var next = new Segments(bytes.Slice(position, size).ToArray(), position);
            first ??= next;
            last?.Next = next;
            last = next;
            position += size;
        }

        return new ReadOnlySequence<byte>(first!, 0, last!, last!.Memory.Length);
    }
}
