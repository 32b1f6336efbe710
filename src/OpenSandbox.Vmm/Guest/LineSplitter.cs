namespace OpenSandbox.Vmm;

/// <summary>Cuts bytes that arrive in any pieces into lines of bounded length.</summary>
internal sealed class LineSplitter(int maxLineBytes)
{
    private readonly List<byte> _partial = [];

    /// <summary>Whether bytes wait for the end of their line.</summary>
    internal bool HasRest => _partial.Count > 0;

    internal delegate void LineHandler(ReadOnlySpan<byte> line);

    /// <summary>Adds bytes and hands over every line that they complete.</summary>
    /// <exception cref="InvalidDataException">A line is longer than allowed.</exception>
    internal void Add(ReadOnlySpan<byte> bytes, LineHandler handle)
    {
        int end;
        while ((end = bytes.IndexOf((byte)'\n')) >= 0)
        {
            if (_partial.Count == 0)
            {
                Check(end);
                handle(bytes[..end]);
            }
            else
            {
                Check(_partial.Count + end);
                _partial.AddRange(bytes[..end]);
                handle(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_partial));
                _partial.Clear();
            }

            bytes = bytes[(end + 1)..];
        }

        Check(_partial.Count + bytes.Length);
        _partial.AddRange(bytes);
    }

    private void Check(int length)
    {
        if (length > maxLineBytes)
        {
            throw new InvalidDataException($"a line is longer than {maxLineBytes} bytes");
        }
    }
}
