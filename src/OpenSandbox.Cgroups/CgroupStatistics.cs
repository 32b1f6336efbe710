using System.Buffers.Text;

namespace OpenSandbox.Cgroups;

/// <summary>Reads the flat keyed files of cgroup v2 (<c>key value</c> a line), such as cpu.stat, cgroup.events and memory.events.</summary>
public static class CgroupStatistics
{
    /// <summary>The value of one key.</summary>
    /// <param name="content">The file's content.</param>
    /// <param name="key">The key.</param>
    /// <returns>The value, or <see langword="null"/> where the key is missing or has no number.</returns>
    public static long? Value(ReadOnlySpan<byte> content, ReadOnlySpan<byte> key)
    {
        while (!content.IsEmpty)
        {
            int end = content.IndexOf((byte)'\n');
            ReadOnlySpan<byte> line = end < 0 ? content : content[..end];
            content = end < 0 ? default : content[(end + 1)..];
            if (line.Length > key.Length + 1 && line[key.Length] == (byte)' ' && line.StartsWith(key))
            {
                return Utf8Parser.TryParse(line[(key.Length + 1)..], out long value, out int used) && used == line.Length - key.Length - 1
                    ? value
                    : null;
            }
        }

        return null;
    }
}
