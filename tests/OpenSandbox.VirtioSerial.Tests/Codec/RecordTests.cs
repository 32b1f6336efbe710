using System.Buffers;
using System.Text;
using FsCheck;
using FsCheck.Fluent;

namespace OpenSandbox.VirtioSerial.Tests;

/// <summary>Several files in one stream.</summary>
public sealed class RecordTests
{
    [Fact]
    public void Record_Bytes_AreTheDocumentedOnes()
    {
        var bytes = new ArrayBufferWriter<byte>();
        var record = new RecordWriter(bytes);
        record.WriteHead("{}"u8);
        record.WriteContent("abc"u8);
        record.WriteEnd();
        record.WriteHead("[]"u8);
        record.WriteFailure("{e}"u8);

        Assert.Equal(
            [
                2, 0, 0, 0, (byte)'{', (byte)'}', 3, 0, 0, 0, (byte)'a', (byte)'b', (byte)'c', 0, 0, 0, 0,
                2, 0, 0, 0, (byte)'[', (byte)']', 255, 255, 255, 255, 3, 0, 0, 0, (byte)'{', (byte)'e', (byte)'}',
            ],
            bytes.WrittenSpan.ToArray());
    }

    [Theory]
    [InlineData(new byte[] { 0, 0, 0, 0 })] // an empty head
    [InlineData(new byte[] { 1, 64, 0, 0 })] // 16,385 bytes of head
    [InlineData(new byte[] { 1, 0, 0, 0, 65, 1, 0, 16, 0 })] // a chunk of 1 MiB + 1
    [InlineData(new byte[] { 1, 0, 0, 0, 65, 254, 255, 255, 255 })]
    [InlineData(new byte[] { 1, 0, 0, 0, 65, 255, 255, 255, 255, 0, 0, 0, 0 })] // an empty failure
    [InlineData(new byte[] { 1, 0, 0, 0, 65, 255, 255, 255, 255, 1, 64, 0, 0 })]
    public void Read_LengthsBeyondTheBounds_AreRefusedBeforeAnythingIsBuffered(byte[] bytes) =>
        Assert.Throws<InvalidDataException>(() => ReadAll(bytes, []));

    [Fact]
    public void Read_HalfARecord_IsNotBetweenRecords()
    {
        var reader = new RecordReader();
        Assert.True(reader.IsBetweenRecords);
        ReadOnlySpan<byte> bytes = [1, 0];

        Assert.Equal(RecordPart.NeedMore, reader.Read(ref bytes, out _));
        Assert.False(reader.IsBetweenRecords);
    }

    [Fact]
    public void AnyRecords_CutAnywhere_ComeBackAsTheyWere() => Cases.ForAll(
        from files in (from head in Cases.Bytes.Where(static bytes => bytes.Length > 0)
                       from content in Cases.Bytes
                       from fails in Gen.Elements(false, false, true)
                       select (head, content, fails)).ArrayOf(5)
        from cuts in Cases.Cuts
        select (files, cuts),
        test =>
        {
            var bytes = new ArrayBufferWriter<byte>();
            var record = new RecordWriter(bytes);
            var expected = new StringBuilder();
            foreach ((byte[] head, byte[] content, bool fails) in test.files)
            {
                record.WriteHead(head);
                record.WriteContent(content);
                if (fails)
                {
                    record.WriteFailure(head);
                }
                else
                {
                    record.WriteEnd();
                }

                expected.Append($"H{Convert.ToHexString(head)}C{Convert.ToHexString(content)}{(fails ? "F" + Convert.ToHexString(head) : "E")};");
            }

            return ReadAll(bytes.WrittenSpan, test.cuts) == expected.ToString();
        },
        divisor: 4);

    [Fact]
    public void AnyBytes_AreReadOrRefused() => Cases.ForAll(
        Cases.Bytes,
        bytes =>
        {
            try
            {
                ReadAll(bytes, [3]);
                return true;
            }
            catch (InvalidDataException)
            {
                return true;
            }
        });

    private static string ReadAll(ReadOnlySpan<byte> bytes, int[] cuts)
    {
        var reader = new RecordReader();
        var text = new StringBuilder();
        var content = new StringBuilder();
        foreach (int length in (int[])[.. cuts, int.MaxValue])
        {
            ReadOnlySpan<byte> piece = bytes[..Math.Min(length, bytes.Length)];
            bytes = bytes[piece.Length..];
            RecordPart found;
            while ((found = reader.Read(ref piece, out ReadOnlySpan<byte> part)) != RecordPart.NeedMore)
            {
                switch (found)
                {
                    case RecordPart.Head:
                        text.Append($"H{Convert.ToHexString(part)}C");
                        break;
                    case RecordPart.Content:
                        content.Append(Convert.ToHexString(part));
                        break;
                    default:
                        text.Append(content).Append(found == RecordPart.End ? "E;" : $"F{Convert.ToHexString(part)};");
                        content.Clear();
                        break;
                }
            }

            if (!piece.IsEmpty)
            {
                throw new InvalidOperationException("it asked for more and had more");
            }
        }

        return text.ToString();
    }
}
