using System.Text;
using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>
/// The image's environment: <c>NAME=value</c> lines of its /etc/environment, as pam_env(8) reads them. The file is the sandbox's to change or to
/// destroy: it is bounded, lines that make no sense are skipped, and it is read again whenever it has changed. One thread's own.
/// </summary>
/// <param name="path">The file.</param>
internal sealed class ImageEnvironment(string path)
{
    private const int MaxFile = 64 * 1024;
    private const int MaxVariables = 1024;

    private readonly byte[] _path = CString.From(path);
    private readonly Dictionary<string, string> _variables = new(StringComparer.Ordinal);
    private (ulong Inode, long Seconds, uint Nanoseconds, ulong Size) _stamp;

    /// <summary>What the file says now.</summary>
    internal Dictionary<string, string> Read()
    {
        bool exists = Libc.Statx(Linux.AT_FDCWD, _path, 0, Linux.STATX_BASIC_STATS, out StatxBuffer stat) == 0
            && (stat.Mode & Linux.S_IFMT) == Linux.S_IFREG;
        (ulong, long, uint, ulong) now = exists ? (stat.Inode, stat.ModifiedSeconds, stat.ModifiedNanoseconds, stat.Size) : default;
        if (now != _stamp)
        {
            _stamp = now;
            _variables.Clear();
            byte[] content = new byte[(int)Math.Min(MaxFile, exists ? stat.Size : 0)];
            int length = content.Length == 0 ? 0 : SmallFile.Read(Linux.AT_FDCWD, _path, content);
            Parse(length <= 0 ? default : content.AsSpan(0, length), _variables);
        }

        return _variables;
    }

    /// <summary>Parses the file's content.</summary>
    internal static void Parse(ReadOnlySpan<byte> content, Dictionary<string, string> variables)
    {
        foreach (Range range in content.Split((byte)'\n'))
        {
            string line = Encoding.UTF8.GetString(content[range]).Trim();
            if (line.StartsWith("export ", StringComparison.Ordinal))
            {
                line = line[7..].TrimStart();
            }

            int equals = line.IndexOf('=', StringComparison.Ordinal);
            if (equals <= 0 || line[0] == '#' || line.Contains('\0', StringComparison.Ordinal) || variables.Count == MaxVariables
                || line.AsSpan(0, equals).ContainsAny(' ', '\t'))
            {
                continue;
            }

            string value = line[(equals + 1)..];
            variables[line[..equals]] = value.Length >= 2 && value[0] is '"' or '\'' && value[^1] == value[0] ? value[1..^1] : value;
        }
    }
}
