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
            var entries = new DirectoryEntries(buffer.AsSpan(0, (int)count));
            while (entries.Next(out ReadOnlySpan<byte> name))
            {
                names.Add(Encoding.UTF8.GetString(name[..^1]));
            }
        }

        return names;
    }
}
