using System.Globalization;
using System.Text;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <content>Names of numbers, and groups by their names.</content>
internal sealed partial class UserDatabase
{
    private const int MaxNames = 65_536;

    private Dictionary<uint, string>? _userNames;
    private Dictionary<uint, string>? _groupNames;

    /// <summary>Names of all users and of all groups by number, as they are now: the first line with a number counts.</summary>
    internal (IReadOnlyDictionary<uint, string> Users, IReadOnlyDictionary<uint, string> Groups) Names()
    {
        lock (_gate)
        {
            Refresh();
            return (_userNames ??= ReadNames(_passwd), _groupNames ??= ReadNames(_group));
        }
    }

    /// <summary>Owner and group of a new file.</summary>
    /// <param name="user">Name, <c>uid</c> or <c>uid:gid</c>; <see langword="null"/>: the default user.</param>
    /// <param name="group">Name or number; <see langword="null"/>: the user's.</param>
    /// <exception cref="GuestException">There is no such user or group.</exception>
    internal (uint Uid, uint Gid) FindOwner(string? user, string? group)
    {
        GuestUser found = Find(user);
        return (found.Uid, group is null ? found.Gid : FindGroup(group));
    }

    /// <summary>Number of a group.</summary>
    /// <param name="group">Its name or number.</param>
    /// <exception cref="GuestException">There is no such group.</exception>
    internal uint FindGroup(string group)
    {
        if (group.Length is 0 or > 256)
        {
            GuestException.ThrowInvalid("group: 1 to 256 characters");
        }

        lock (_gate)
        {
            Refresh();
            return GroupNumber(group);
        }
    }

    /// <summary>Both files have the name first and the number third.</summary>
    private static Dictionary<uint, string> ReadNames(ReadOnlySpan<byte> content)
    {
        var names = new Dictionary<uint, string>();
        Span<Range> fields = stackalloc Range[4];
        foreach (Range lineRange in content.Split((byte)'\n'))
        {
            ReadOnlySpan<byte> line = content[lineRange];
            if (names.Count < MaxNames && SplitFields(line, fields) >= 3 && !line[fields[0]].IsEmpty && !line.Contains((byte)0)
                && uint.TryParse(line[fields[2]], NumberStyles.None, CultureInfo.InvariantCulture, out uint id))
            {
                names.TryAdd(id, Encoding.UTF8.GetString(line[fields[0]]));
            }
        }

        return names;
    }
}
