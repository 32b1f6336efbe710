using System.Buffers;
using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Vmm.State;

/// <summary>
/// Tells whether a finished file is still what it was. While its stamp is the same, nobody has touched it and its content is not read; if it
/// is another one (a copy, a restored backup, damage), the whole content is compared by digest.
/// </summary>
internal static class SavedFiles
{
    private const int ReadSize = 1 << 20;

    /// <summary>Describes a file that is finished and synced. Linking, renaming and changing the mode of it afterwards changes its stamp.</summary>
    /// <param name="file">The file.</param>
    /// <param name="name">Its name in its directory.</param>
    /// <param name="sha256">Its digest, where that is known already.</param>
    internal static SavedFile Describe(SafeFileHandle file, string name, string? sha256 = null) =>
        new() { Name = name, Sha256 = sha256, Stamp = Stamp(file, name) };

    /// <summary>Adds the digest to a description, if the file is still the one described.</summary>
    /// <exception cref="StateFileException">It has changed since, or while it was read.</exception>
    internal static SavedFile AddDigest(
        SafeFileHandle file, SavedFile described, string path, DigestMethod method, CancellationToken cancellationToken)
    {
        RequireStamp(file, described.Stamp, path, "it has changed since it was finished");
        string digest = Digest(file, described.Bytes, path, method, cancellationToken);
        RequireStamp(file, described.Stamp, path, "it changed while its digest was computed");
        return described with { Sha256 = digest };
    }

    /// <summary>Checks a file before it is used.</summary>
    /// <returns>
    /// <paramref name="expected"/> itself if the stamp is the same; a description with the new stamp if the content had to be compared, which
    /// may be written to the manifest so that the next check is quick again.
    /// </returns>
    /// <exception cref="StateFileException">It is not the file that was saved; says why.</exception>
    internal static SavedFile Verify(
        SafeFileHandle file, SavedFile expected, string path, DigestMethod method, CancellationToken cancellationToken)
    {
        FileStamp actual = Stamp(file, path);
        if (actual == expected.Stamp)
        {
            return expected;
        }

        if (actual.Bytes != expected.Bytes)
        {
            throw Damaged(path, $"it has {actual.Bytes} bytes instead of {expected.Bytes}");
        }

        if (expected.Sha256 is null)
        {
            throw Damaged(path, $"it has been touched since it was saved ({Difference(expected.Stamp, actual)}), and nothing vouches for its content, because its digest had not been computed yet");
        }

        string digest = Digest(file, expected.Bytes, path, method, cancellationToken);
        if (digest != expected.Sha256)
        {
            throw Damaged(path, $"its content is not what was saved: its digest is {digest} instead of {expected.Sha256}");
        }

        RequireStamp(file, actual, path, "it changed while it was checked");
        return expected with { Stamp = actual };
    }

    /// <summary>The digest of a file's first bytes.</summary>
    /// <exception cref="StateFileException">It is shorter, or cannot be read.</exception>
    internal static string Digest(SafeFileHandle file, long length, string path, DigestMethod method, CancellationToken cancellationToken)
    {
        try
        {
            return method == DigestMethod.Sparse
                ? SparseDigest.Compute(file, length, null, cancellationToken)
                : PlainDigest(file, length, cancellationToken);
        }
        catch (IOException unreadable)
        {
            throw new StateFileException(path, $"it cannot be read: {unreadable.Message}", DamagedRemedy, unreadable);
        }
    }

    private const string DamagedRemedy =
        "It is not used. Restore it from a backup, or delete what it belongs to";

    private static StateFileException Damaged(string path, string problem) => new(path, problem, DamagedRemedy);

    private static string Difference(FileStamp expected, FileStamp actual) =>
        actual.Inode != expected.Inode ? "it is another inode"
            : actual.ModifiedNs != expected.ModifiedNs ? "its content was written to"
            : "its time of change differs";

    private static void RequireStamp(SafeFileHandle file, FileStamp expected, string path, string otherwise)
    {
        if (Stamp(file, path) != expected)
        {
            throw Damaged(path, otherwise);
        }
    }

    private static FileStamp Stamp(SafeFileHandle file, string path)
    {
        if (Libc.Statx(file, out StatxBuffer status) != 0)
        {
            throw Errno.LastError($"statx {path}");
        }

        if ((status.Mode & Libc.S_IFMT) != Libc.S_IFREG)
        {
            throw Damaged(path, "it is not a regular file");
        }

        return FileStamp.Of(status);
    }

    private static string PlainDigest(SafeFileHandle file, long length, CancellationToken cancellationToken)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] buffer = ArrayPool<byte>.Shared.Rent(ReadSize);
        try
        {
            for (long offset = 0; offset < length;)
            {
                cancellationToken.ThrowIfCancellationRequested();
                int count = RandomAccess.Read(file, buffer.AsSpan(0, (int)Math.Min(buffer.Length, length - offset)), offset);
                if (count == 0)
                {
                    throw new EndOfStreamException($"the file ends at byte {offset}, earlier than it should");
                }

                hash.AppendData(buffer, 0, count);
                offset += count;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
