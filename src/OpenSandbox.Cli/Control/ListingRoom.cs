namespace OpenSandbox.Cli.Control;

/// <summary>
/// Room for listings of directories, all that are held at a time together: one of each level of a tree that is copied. A guest can make names
/// and targets of links up, and as many of them as it likes.
/// </summary>
/// <param name="entries">Entries at most.</param>
/// <param name="bytes">Bytes at most, of memory here.</param>
internal sealed class ListingRoom(int entries = 1_000_000, long bytes = 256L << 20)
{
    /// <summary>Two strings' headers and the rest of an entry.</summary>
    private const int EntryBytes = 96;

    private int _entries = entries;
    private long _bytes = bytes;

    /// <summary>Takes room for an entry.</summary>
    /// <returns>Whether there was any.</returns>
    internal bool TryTake(in ListedFile entry)
    {
        long size = Size(entry);
        if (_entries == 0 || size > _bytes)
        {
            return false;
        }

        _entries--;
        _bytes -= size;
        return true;
    }

    /// <summary>Gives the room of a whole listing back.</summary>
    internal void Return(List<ListedFile> listing)
    {
        _entries += listing.Count;
        foreach (ListedFile entry in listing)
        {
            _bytes += Size(entry);
        }
    }

    private static long Size(in ListedFile entry) => EntryBytes + (sizeof(char) * ((long)entry.Name.Length + (entry.Target?.Length ?? 0)));
}
