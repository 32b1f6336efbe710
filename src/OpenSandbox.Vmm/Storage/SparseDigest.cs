using System.Buffers;
using System.Buffers.Binary;
using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;

namespace OpenSandbox.Vmm.Storage;

/// <summary>
/// SHA-256 of a file that is mostly holes: over its length and, for each 64 KiB block that has a byte other than zero, the block's offset
/// and content. Independent of how the file system stores it, and as fast as the data that is really there.
/// </summary>
internal static class SparseDigest
{
    private const int BlockSize = 65_536;
    private const int ReadSize = 16 * BlockSize;

    /// <summary>Computes the digest and, if asked to, copies every non-zero block to the same place of another file.</summary>
    /// <param name="source">The file.</param>
    /// <param name="length">How many bytes of it count.</param>
    /// <param name="copyTo">Gets the non-zero blocks; must be all zero before.</param>
    /// <param name="cancellationToken">Stops between two reads.</param>
    /// <exception cref="IOException">The file is shorter than <paramref name="length"/>, or cannot be read or written.</exception>
    internal static string Compute(SafeFileHandle source, long length, SafeFileHandle? copyTo, CancellationToken cancellationToken)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Span<byte> number = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(number, length);
        hash.AppendData(number);
        byte[] buffer = ArrayPool<byte>.Shared.Rent(ReadSize);
        try
        {
            foreach ((long start, long end) in DataExtents.Of(source, length, BlockSize))
            {
                for (long offset = start; offset < end;)
                {
                    cancellationToken.ThrowIfCancellationRequested();
                    int wanted = (int)Math.Min(ReadSize, end - offset);
                    ReadExactly(source, buffer.AsSpan(0, wanted), offset);
                    for (int at = 0; at < wanted; at += BlockSize)
                    {
                        ReadOnlySpan<byte> block = buffer.AsSpan(at, Math.Min(BlockSize, wanted - at));
                        if (block.ContainsAnyExcept((byte)0))
                        {
                            BinaryPrimitives.WriteInt64LittleEndian(number, offset + at);
                            hash.AppendData(number);
                            hash.AppendData(block);
                            if (copyTo is not null)
                            {
                                RandomAccess.Write(copyTo, block, offset + at);
                            }
                        }
                    }

                    offset += wanted;
                }
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static void ReadExactly(SafeFileHandle source, Span<byte> destination, long offset)
    {
        while (!destination.IsEmpty)
        {
            int count = RandomAccess.Read(source, destination, offset);
            if (count == 0)
            {
                throw new EndOfStreamException($"the file ends at byte {offset}, earlier than it should");
            }

            destination = destination[count..];
            offset += count;
        }
    }
}
