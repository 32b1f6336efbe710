using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Vmm.Golden;

/// <summary>
/// The golden snapshot's RAM: an anonymous file in memory that every sandbox maps copy-on-write, sealed so that nobody, not even a VMM
/// taken over by its guest, can change a byte of it. (A plain file would be a hole between tenants: QEMU before 8.2 holds it open for
/// writing and punches holes into it when a guest discards pages.)
/// </summary>
/// <remarks>Thread-safe once made.</remarks>
internal sealed class RamTemplate : IDisposable
{
    private const int PageSize = 4096;
    private const int AllSeals = Libc.F_SEAL_SEAL | Libc.F_SEAL_SHRINK | Libc.F_SEAL_GROW | Libc.F_SEAL_WRITE;

    private RamTemplate(SafeFileHandle file, long length)
    {
        File = file;
        Length = length;
    }

    /// <summary>The memfd; QEMU maps it as <c>/proc/self/fd/N</c>.</summary>
    internal SafeFileHandle File { get; }

    /// <summary>Size, bytes.</summary>
    internal long Length { get; }

    /// <summary>An empty, unsealed template for the builder.</summary>
    internal static RamTemplate CreateEmpty(long length)
    {
        SafeFileHandle file = Libc.MemfdCreate("opensandbox-golden", Libc.MFD_CLOEXEC | Libc.MFD_ALLOW_SEALING);
        if (file.IsInvalid)
        {
            throw Errno.LastError("memfd_create for the golden snapshot's RAM");
        }

        if (Libc.FTruncate(file, length) != 0)
        {
            IOException failure = Errno.LastError($"ftruncate of the golden snapshot's RAM to {length} bytes");
            file.Dispose();
            throw failure;
        }

        return new RamTemplate(file, length);
    }

    /// <summary>Loads a saved template, checks its digest, and seals it.</summary>
    /// <exception cref="IOException">The file cannot be read, is too short, or memory ran out.</exception>
    internal static (RamTemplate Template, string Sha256) Load(string path, long length, CancellationToken cancellationToken)
    {
        using SafeFileHandle saved = System.IO.File.OpenHandle(path);
        long actual = RandomAccess.GetLength(saved);
        if (actual != length)
        {
            throw new InvalidDataException($"{path} has {actual} bytes instead of {length}");
        }

        RamTemplate template = CreateEmpty(length);
        try
        {
            string sha256 = SparseDigest.Compute(saved, length, template.File, cancellationToken);
            template.Seal();
            return (template, sha256);
        }
        catch
        {
            template.Dispose();
            throw;
        }
    }

    /// <summary>Gives pages that hold only zeroes back to the kernel. Only before sealing, and after the builder has quit.</summary>
    internal void PunchZeroPages()
    {
        const int ChunkPages = 256;
        byte[] chunk = new byte[ChunkPages * PageSize];
        foreach ((long start, long end) in DataExtents.Of(File, Length, PageSize).ToList())
        {
            for (long offset = start; offset < end; offset += chunk.Length)
            {
                int count = RandomAccess.Read(File, chunk.AsSpan(0, (int)Math.Min(chunk.Length, end - offset)), offset);
                PunchZeroPages(chunk.AsSpan(0, count), offset);
            }
        }
    }

    /// <summary>Makes the content final. The builder must have unmapped it: a shared writable mapping forbids the seal.</summary>
    internal void Seal()
    {
        if (Libc.Fcntl(File, Libc.F_ADD_SEALS, AllSeals) != 0)
        {
            throw Errno.LastError("fcntl F_ADD_SEALS on the golden snapshot's RAM");
        }
    }

    /// <summary>Whether all four seals are set.</summary>
    internal bool IsSealed => Libc.Fcntl(File, Libc.F_GET_SEALS, 0) == AllSeals;

    public void Dispose() => File.Dispose();

    private void PunchZeroPages(ReadOnlySpan<byte> chunk, long offset)
    {
        int run = -1;
        for (int at = 0; at <= chunk.Length; at += PageSize)
        {
            bool zero = at < chunk.Length && !chunk.Slice(at, Math.Min(PageSize, chunk.Length - at)).ContainsAnyExcept((byte)0);
            if (zero && run < 0)
            {
                run = at;
            }
            else if (!zero && run >= 0)
            {
                if (Libc.Fallocate(File, Libc.FALLOC_FL_PUNCH_HOLE | Libc.FALLOC_FL_KEEP_SIZE, offset + run, at - run) != 0)
                {
                    throw Errno.LastError("fallocate PUNCH_HOLE in the golden snapshot's RAM");
                }

                run = -1;
            }
        }
    }
}
