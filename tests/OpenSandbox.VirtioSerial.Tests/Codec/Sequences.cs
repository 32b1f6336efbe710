using System.Buffers;

namespace OpenSandbox.VirtioSerial.Tests;

/// <summary>Sequences of several segments, as a pipe makes them.</summary>
internal static class Sequences
{
    /// <summary>One sequence over the pieces, in order; empty pieces stay empty segments.</summary>
    internal static ReadOnlySequence<byte> Of(params ReadOnlyMemory<byte>[] pieces)
    {
        if (pieces.Length == 0)
        {
            return ReadOnlySequence<byte>.Empty;
        }

        var first = new Segment(pieces[0], 0);
        Segment last = first;
        foreach (ReadOnlyMemory<byte> piece in pieces.Skip(1))
        {
            var next = new Segment(piece, last.RunningIndex + last.Memory.Length);
            last.Append(next);
            last = next;
        }

        return new ReadOnlySequence<byte>(first, 0, last, last.Memory.Length);
    }

    /// <summary>Cuts bytes at the given places (taken modulo the length).</summary>
    internal static ReadOnlySequence<byte> Cut(byte[] bytes, IEnumerable<int> cuts) => Of(Pieces(bytes, cuts));

    /// <summary>The pieces between the cuts.</summary>
    internal static ReadOnlyMemory<byte>[] Pieces(byte[] bytes, IEnumerable<int> cuts)
    {
        int[] places = [0, .. cuts.Select(cut => cut % (bytes.Length + 1)).Order(), bytes.Length];
        return [.. places.Zip(places.Skip(1), (from, to) => new ReadOnlyMemory<byte>(bytes, from, to - from))];
    }

    private sealed class Segment : ReadOnlySequenceSegment<byte>
    {
        internal Segment(ReadOnlyMemory<byte> memory, long runningIndex)
        {
            Memory = memory;
            RunningIndex = runningIndex;
        }

        internal void Append(Segment next) => Next = next;
    }
}
