using System.Buffers.Text;

namespace OpenSandbox.Agent;

/// <summary>What was read from and written to the sandbox's disks, as the kernel counts it for each device (Documentation/admin-guide/iostats.rst).</summary>
internal static class DiskTraffic
{
    private const int MaxFile = 8192;
    private const int SectorSize = 512; // of these counters, whatever the device's is
    private const int NameColumn = 2;
    private const int ReadSectorsColumn = 5;
    private const int WrittenSectorsColumn = 9;

    /// <summary>Bytes of all virtio disks together since the golden snapshot; <see langword="null"/>: the kernel does not say.</summary>
    internal static (long Read, long Written)? Read()
    {
        byte[] text = new byte[MaxFile];
        int count = SmallFile.Read(Linux.AT_FDCWD, "/proc/diskstats\0"u8, text);
        return count < 0 ? null : Sum(text.AsSpan(0, count));
    }

    /// <summary>Adds up the lines of virtio disks.</summary>
    internal static (long Read, long Written) Sum(ReadOnlySpan<byte> text)
    {
        long read = 0;
        long written = 0;
        foreach (Range lineRange in text.Split((byte)'\n'))
        {
            ReadOnlySpan<byte> line = text[lineRange];
            if (Column(line, NameColumn).StartsWith("vd"u8)
                && Utf8Parser.TryParse(Column(line, ReadSectorsColumn), out long readSectors, out _)
                && Utf8Parser.TryParse(Column(line, WrittenSectorsColumn), out long writtenSectors, out _))
            {
                read += readSectors * SectorSize;
                written += writtenSectors * SectorSize;
            }
        }

        return (read, written);
    }

    private static ReadOnlySpan<byte> Column(ReadOnlySpan<byte> line, int column)
    {
        line = line.TrimStart((byte)' ');
        while (column-- > 0)
        {
            int end = line.IndexOf((byte)' ');
            line = end < 0 ? default : line[end..].TrimStart((byte)' ');
        }

        int length = line.IndexOf((byte)' ');
        return length < 0 ? line : line[..length];
    }
}
