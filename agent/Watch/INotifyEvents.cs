using System.Buffers.Binary;
using System.Text;

namespace OpenSandbox.Agent;

/// <summary>Walks a buffer that was read from inotify(7). struct inotify_event: watch i32, mask u32, cookie u32, length u32, name.</summary>
internal ref struct INotifyEvents(ReadOnlySpan<byte> events)
{
    private const int HeaderSize = 16;

    private ReadOnlySpan<byte> _rest = events;

    /// <summary>The watch; -1 for an overflow.</summary>
    internal int Watch { get; private set; }

    /// <summary>IN_* bits.</summary>
    internal uint Mask { get; private set; }

    /// <summary>Connects the two events of a move.</summary>
    internal uint Cookie { get; private set; }

    /// <summary>Name in the watched directory; empty: the watched file itself.</summary>
    internal string Name { get; private set; } = "";

    /// <summary>Takes the next event.</summary>
    /// <returns>Whether there is one.</returns>
    internal bool Next()
    {
        if (_rest.Length < HeaderSize)
        {
            return false;
        }

        Watch = BinaryPrimitives.ReadInt32LittleEndian(_rest);
        Mask = BinaryPrimitives.ReadUInt32LittleEndian(_rest[4..]);
        Cookie = BinaryPrimitives.ReadUInt32LittleEndian(_rest[8..]);
        int length = (int)Math.Min(BinaryPrimitives.ReadUInt32LittleEndian(_rest[12..]), (uint)(_rest.Length - HeaderSize));
        ReadOnlySpan<byte> name = _rest.Slice(HeaderSize, length);
        int end = name.IndexOf((byte)0);
        Name = Encoding.UTF8.GetString(end < 0 ? name : name[..end]);
        _rest = _rest[(HeaderSize + length)..];
        return true;
    }
}
