using System.Buffers.Text;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Cgroups;
using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>Reads control files of cgroups.</summary>
internal static class CgroupFiles
{
    private const int MaxFile = 16 * 1024;

    /// <summary>The number in a file that has one; absent for <c>max</c> and for a file that cannot be read.</summary>
    internal static long? Number(SafeFileHandle? file)
    {
        Span<byte> text = stackalloc byte[64];
        return Utf8Parser.TryParse(Read(file, text), out long value, out int used) && used > 0 ? value : null;
    }

    /// <summary>The value of a key in a file with a key and a value a line.</summary>
    internal static long? Value(SafeFileHandle? file, ReadOnlySpan<byte> key)
    {
        Span<byte> text = stackalloc byte[1024];
        return CgroupStatistics.Value(Read(file, text), key);
    }

    private static ReadOnlySpan<byte> Read(SafeFileHandle? file, Span<byte> buffer)
    {
        nint count = file is null ? 0 : Libc.PRead((int)file.DangerousGetHandle(), buffer, (nuint)buffer.Length, 0);
        return buffer[..(int)Math.Max(0, count)];
    }
}
