using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace OpenSandbox.Vmm.Archives;

/// <summary>The parts of an archive, one after another, little-endian. It is written and read from front to back.</summary>
/// <remarks>
/// <code>
/// header    8 magic "OSBOXARC" | u32 version | u32 length of the manifest | 32 SHA-256 of the manifest | manifest
/// entry     4 "ENTR" | u16 length of the name | u16 0 | u64 length of the content, or all ones | name | content as an LZ4 frame
///           | u64 length of the content | 32 SHA-256 of the content
/// index     4 "INDX" | u32 entries, and for each
///           u16 length of the name | name | u64 offset of its "ENTR" | u64 length of its frame | u64 length of its content | 32 SHA-256
/// trailer   8 magic "OSBOXEND" | u64 offset of "INDX" | 32 SHA-256 over everything before these 32 bytes
/// </code>
/// </remarks>
internal static class ArchiveFormat
{
    internal const uint Version = 1;
    internal const int HeaderLength = 16 + HashLength;
    internal const int HashLength = SHA256.HashSizeInBytes;
    internal const int EntryHeaderLength = 16;
    internal const int EntryTailLength = 8 + HashLength;
    internal const int TrailerLength = 16 + HashLength;

    /// <summary>"ENTR" and "INDX".</summary>
    internal const int MarkLength = 4;

    /// <summary>Length of an entry whose length was not known when it was begun.</summary>
    internal const ulong UnknownLength = ulong.MaxValue;

    /// <summary>Most bytes of a manifest, whatever a reader would accept.</summary>
    internal const int MaxManifestBytes = 16 << 20;

    /// <summary>Most entries, whatever a reader would accept.</summary>
    internal const int MaxEntries = 4096;

    internal static ReadOnlySpan<byte> Magic => "OSBOXARC"u8;

    internal static ReadOnlySpan<byte> EntryMark => "ENTR"u8;

    internal static ReadOnlySpan<byte> IndexMark => "INDX"u8;

    internal static ReadOnlySpan<byte> TrailerMagic => "OSBOXEND"u8;

    internal static byte[] Header(ReadOnlySpan<byte> manifest)
    {
        byte[] header = new byte[HeaderLength];
        Magic.CopyTo(header);
        BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(8), Version);
        BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(12), manifest.Length);
        SHA256.HashData(manifest, header.AsSpan(16));
        return header;
    }

    internal static byte[] EntryHeader(string name, ulong length)
    {
        byte[] header = new byte[EntryHeaderLength + name.Length];
        EntryMark.CopyTo(header);
        BinaryPrimitives.WriteUInt16LittleEndian(header.AsSpan(4), (ushort)name.Length);
        BinaryPrimitives.WriteUInt64LittleEndian(header.AsSpan(8), length);
        Encoding.ASCII.GetBytes(name, header.AsSpan(EntryHeaderLength));
        return header;
    }

    internal static byte[] EntryTail(long length, ReadOnlySpan<byte> sha256)
    {
        byte[] tail = new byte[EntryTailLength];
        BinaryPrimitives.WriteInt64LittleEndian(tail, length);
        sha256.CopyTo(tail.AsSpan(8));
        return tail;
    }

    /// <summary>The whole index: a reader makes it of what it has seen, and compares.</summary>
    internal static byte[] Index(IReadOnlyList<ArchiveEntry> entries, IReadOnlyList<long> offsets)
    {
        var index = new MemoryStream();
        Span<byte> number = stackalloc byte[sizeof(long)];
        index.Write(IndexMark);
        BinaryPrimitives.WriteInt32LittleEndian(number, entries.Count);
        index.Write(number[..sizeof(int)]);
        for (int at = 0; at < entries.Count; at++)
        {
            ArchiveEntry entry = entries[at];
            BinaryPrimitives.WriteUInt16LittleEndian(number, (ushort)entry.Name.Length);
            index.Write(number[..sizeof(ushort)]);
            index.Write(Encoding.ASCII.GetBytes(entry.Name));
            foreach (long value in (ReadOnlySpan<long>)[offsets[at], entry.StoredLength, entry.Length])
            {
                BinaryPrimitives.WriteInt64LittleEndian(number, value);
                index.Write(number);
            }

            index.Write(Convert.FromHexString(entry.Sha256));
        }

        return index.ToArray();
    }

    /// <summary>The trailer without its hash.</summary>
    internal static byte[] Trailer(long indexOffset)
    {
        byte[] trailer = new byte[TrailerLength - HashLength];
        TrailerMagic.CopyTo(trailer);
        BinaryPrimitives.WriteInt64LittleEndian(trailer.AsSpan(8), indexOffset);
        return trailer;
    }
}
