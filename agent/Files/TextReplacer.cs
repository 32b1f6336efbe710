using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// Replaces bytes in one file after the other, atomically, in memory that does not depend on their size. A file that does not have the bytes
/// is not touched. Runs on threads that may hang.
/// </summary>
/// <param name="users">The sandbox's users.</param>
/// <param name="maxBytes">The largest file, and the largest result.</param>
/// <param name="isCancelled">Asked between pieces.</param>
internal sealed class TextReplacer(UserDatabase users, long maxBytes, Func<bool> isCancelled)
{
    private const int PieceBytes = 128 * 1024;

    private byte[] _buffer = [];

    /// <summary>Replaces in one file.</summary>
    /// <returns>The file, unless it stayed as it was, and how often bytes were replaced.</returns>
    internal (FileEntry? File, int Count) Replace(ReplaceItem item)
    {
        string path = GuestPath.Check(item.Path);
        if (item.Old is not { Length: > 0 } || item.New is null)
        {
            GuestException.ThrowInvalid("old: at least one byte; new: may be empty");
        }

        int source = RegularFile.Open(path, out StatxBuffer stat);
        try
        {
            if ((long)stat.Size > maxBytes)
            {
                throw GuestException.Coded(AgentErrorCodes.LimitReached, $"{path}: larger than {maxBytes} bytes", Linux.EFBIG);
            }

            if (Pass(source, path, item, target: null) == 0)
            {
                return (null, 0);
            }

            _ = Libc.LSeek(source, 0, Linux.SEEK_SET) < 0 ? throw GuestException.LastError("seek in " + path) : 0;
            using FileReplacement target = FileReplacement.Begin(new FileRequest { Path = path }, users, TrustedMounts.Anywhere, mayHang: true)
                ?? throw new InvalidOperationException("a worker may go anywhere");
            int count = Pass(source, path, item, target);
            return (target.Commit(), count);
        }
        finally
        {
            _ = Libc.Close(source);
        }
    }

    /// <summary>Goes through the file once: to the first occurrence without a target, else to the end.</summary>
    private int Pass(int source, string path, ReplaceItem item, FileReplacement? target)
    {
        byte[] old = item.Old;
        if (_buffer.Length < old.Length + PieceBytes)
        {
            _buffer = new byte[old.Length + PieceBytes];
        }

        int count = 0;
        int kept = 0; // bytes at the front of the buffer that may be the beginning of an occurrence
        long written = 0;
        while (true)
        {
            if (isCancelled())
            {
                throw GuestException.Coded(AgentErrorCodes.Cancelled, "cancelled");
            }

            nint n = Libc.Read(source, _buffer.AsSpan(kept), (nuint)(_buffer.Length - kept));
            _ = GuestException.Check((int)n, "read " + path);
            ReadOnlySpan<byte> rest = _buffer.AsSpan(0, kept + (int)n);
            int at;
            while ((at = rest.IndexOf(old)) >= 0)
            {
                count++;
                if (target is null)
                {
                    return count;
                }

                Write(rest[..at]);
                Write(item.New);
                rest = rest[(at + old.Length)..];
            }

            kept = n == 0 ? 0 : Math.Min(rest.Length, old.Length - 1);
            Write(rest[..(rest.Length - kept)]);
            if (n == 0)
            {
                return count;
            }

            rest[(rest.Length - kept)..].CopyTo(_buffer);
        }

        void Write(ReadOnlySpan<byte> bytes)
        {
            written += bytes.Length;
            if (written > maxBytes)
            {
                throw GuestException.Coded(AgentErrorCodes.LimitReached, $"{path}: would become larger than {maxBytes} bytes", Linux.EFBIG);
            }

            target?.Write(bytes);
        }
    }
}
