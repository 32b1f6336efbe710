using System.Buffers;
using System.Text;
using System.Text.Unicode;

namespace OpenSandbox.Qmp.Protocol;

/// <summary>Strict UTF-8 validation across segments. The JSON reader checks its input's structure, not its encoding.</summary>
internal static class Utf8Sequence
{
    private const int MaxRuneBytes = 4;

    /// <summary>Whether all of <paramref name="text"/> is well-formed UTF-8.</summary>
    internal static bool IsValid(in ReadOnlySequence<byte> text)
    {
        if (text.IsSingleSegment)
        {
            return Utf8.IsValid(text.FirstSpan);
        }

        // A character that a segment boundary cuts is put together here: 3 bytes at most are carried over.
        Span<byte> carry = stackalloc byte[MaxRuneBytes];
        int carried = 0;
        foreach (ReadOnlyMemory<byte> segment in text)
        {
            ReadOnlySpan<byte> span = segment.Span;
            while (carried > 0 && !span.IsEmpty)
            {
                carry[carried++] = span[0];
                span = span[1..];
                OperationStatus status = Rune.DecodeFromUtf8(carry[..carried], out _, out _);
                if (status == OperationStatus.InvalidData)
                {
                    return false;
                }

                if (status == OperationStatus.Done)
                {
                    carried = 0;
                }
            }

            int cut = CutCharacterBytes(span);
            if (!Utf8.IsValid(span[..^cut]))
            {
                return false;
            }

            if (cut > 0)
            {
                span[^cut..].CopyTo(carry);
                carried = cut;
            }
        }

        return carried == 0;
    }

    /// <summary>Bytes at the end of <paramref name="span"/> that begin a character which goes on in the next segment.</summary>
    private static int CutCharacterBytes(ReadOnlySpan<byte> span)
    {
        for (int back = 1; back < MaxRuneBytes && back <= span.Length; back++)
        {
            byte value = span[^back];
            if ((value & 0xC0) == 0x80)
            {
                continue;
            }

            // A lead byte, or ASCII: is the character it begins whole?
            return Rune.DecodeFromUtf8(span[^back..], out _, out _) == OperationStatus.NeedMoreData ? back : 0;
        }

        return 0;
    }
}
