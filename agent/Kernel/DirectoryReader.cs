using System.Buffers.Binary;
using System.Text;
using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>Reads a small directory whole. Large ones are read piecewise by the file operations.</summary>
internal static class DirectoryReader
{
    /// <summary>The names in an open directory, without <c>.</c> and <c>..</c>.</summary>
    internal static List<string> Names(int directory)
    {
        var names = new List<string>();
        byte[] buffer = new byte[8192];
        nint count;
        while ((count = Libc.GetDents64(directory, buffer, (nuint)buffer.Length)) > 0)
        {
            for (int at = 0; at < count;)
            {
                // struct linux_dirent64: inode u64, offset i64, record length u16, type u8, name
                ReadOnlySpan<byte> name = buffer.AsSpan(at + 19);
                name = name[..name.IndexOf((byte)0)];
                if (!name.SequenceEqual("."u8) && !name.SequenceEqual(".."u8))
                {
                    names.Add(Encoding.UTF8.GetString(name));
                }

                at += BinaryPrimitives.ReadUInt16LittleEndian(buffer.AsSpan(at + 16));
            }
        }

        return names;
    }
}
