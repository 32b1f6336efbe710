using System.Buffers.Text;
using Microsoft.Win32.SafeHandles;

namespace OpenSandbox.Vmm.Processes;

/// <summary>How much memory the host has, from <c>/proc/meminfo</c> (proc(5)). The file is kept open: reading it is on the path of every create.</summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class HostMemory : IDisposable
{
    private const int HeadBytes = 256; // the three lines that count are the first three
    private readonly SafeFileHandle _file;

    internal HostMemory(string path = "/proc/meminfo") => _file = File.OpenHandle(path);

    /// <summary>Total and available memory, bytes.</summary>
    /// <exception cref="InvalidDataException">The kernel's file does not look as documented.</exception>
    internal (long Total, long Available) Read()
    {
        Span<byte> head = stackalloc byte[HeadBytes];
        head = head[..RandomAccess.Read(_file, head, 0)];
        return (Find(head, "MemTotal:"u8), Find(head, "MemAvailable:"u8));
    }

    public void Dispose() => _file.Dispose();

    private static long Find(ReadOnlySpan<byte> text, ReadOnlySpan<byte> name)
    {
        int at = text.IndexOf(name);
        if (at < 0 || !Utf8Parser.TryParse(text[(at + name.Length)..].TrimStart((byte)' '), out long kibibytes, out _))
        {
            throw new InvalidDataException($"/proc/meminfo has no {System.Text.Encoding.ASCII.GetString(name)}");
        }

        return kibibytes << 10;
    }
}
