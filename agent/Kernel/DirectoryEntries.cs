using System.Buffers.Binary;

namespace OpenSandbox.Agent;

/// <summary>Walks a buffer that getdents64(2) has filled. struct linux_dirent64: inode u64, offset i64, length u16, type u8, name.</summary>
internal ref struct DirectoryEntries(ReadOnlySpan<byte> records)
{
    private const int LengthOffset = 16;
    private const int TypeOffset = 18;
    private const int NameOffset = 19;

    private ReadOnlySpan<byte> _rest = records;

    /// <summary>Takes the next entry other than <c>.</c> and <c>..</c>.</summary>
    /// <param name="name">Its name with the NUL at its end.</param>
    /// <returns>Whether there is one.</returns>
    internal bool Next(out ReadOnlySpan<byte> name) => Next(out name, out _);

    /// <summary>Takes the next entry other than <c>.</c> and <c>..</c>.</summary>
    /// <param name="name">Its name with the NUL at its end.</param>
    /// <param name="type">Its type (DT_*); 0 where the file system does not say.</param>
    /// <returns>Whether there is one.</returns>
    internal bool Next(out ReadOnlySpan<byte> name, out byte type)
    {
        while (!_rest.IsEmpty)
        {
            ReadOnlySpan<byte> record = _rest[..BinaryPrimitives.ReadUInt16LittleEndian(_rest[LengthOffset..])];
            _rest = _rest[record.Length..];
            type = record[TypeOffset];
            name = record[NameOffset..];
            name = name[..(name.IndexOf((byte)0) + 1)];
            if (!name.SequenceEqual(".\0"u8) && !name.SequenceEqual("..\0"u8))
            {
                return true;
            }
        }

        name = default;
        type = 0;
        return false;
    }
}
