using System.Globalization;
using System.Text;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// The users of the sandbox's own /etc/passwd and /etc/group. Both are the sandbox's to change or to destroy: they are bounded, lines that
/// make no sense are skipped, and they are read again whenever they have changed. Thread-safe.
/// </summary>
/// <param name="passwdPath">Path of passwd(5).</param>
/// <param name="groupPath">Path of group(5).</param>
internal sealed partial class UserDatabase(string passwdPath, string groupPath)
{
    /// <summary>The user that commands run as, and files belong to, where nothing else is said and the image has it.</summary>
    internal const string DefaultUser = "sandbox";

    private const int MaxFile = 1024 * 1024;
    private const int MaxGroups = 256;
    private const string DefaultShell = "/bin/sh";

    private readonly byte[] _passwdPath = CString.From(passwdPath);
    private readonly byte[] _groupPath = CString.From(groupPath);
    private readonly Lock _gate = new();
    private readonly Dictionary<string, GuestUser> _known = new(StringComparer.Ordinal);
    private (ulong Inode, long Modified, ulong Size, uint Device) _passwdStamp;
    private (ulong Inode, long Modified, ulong Size, uint Device) _groupStamp;
    private byte[] _passwd = [];
    private byte[] _group = [];

    /// <summary>The users of the root file system.</summary>
    internal UserDatabase()
        : this("/etc/passwd", "/etc/group")
    {
    }

    /// <summary>Finds a user.</summary>
    /// <param name="user">User and, after a colon, group, each a name or a number; <see langword="null"/>: the default.</param>
    /// <exception cref="GuestException">There is no such user.</exception>
    internal GuestUser Find(string? user)
    {
        lock (_gate)
        {
            Refresh();
            string key = user ?? string.Empty;
            if (_known.TryGetValue(key, out GuestUser? found))
            {
                return found;
            }

            found = user is null ? FindByName(DefaultUser) ?? FindById(0, null) : FindNamed(user);
            _known[key] = found;
            return found;
        }
    }

    private GuestUser FindNamed(string user)
    {
        if (user.Length is 0 or > 256)
        {
            GuestException.ThrowInvalid("user: 1 to 256 characters");
        }

        int colon = user.IndexOf(':', StringComparison.Ordinal);
        if (colon < 0)
        {
            return FindByName(user) ?? (TryId(user, out uint only)
                ? FindById(only, null)
                : throw Unknown("user", user));
        }

        string name = user[..colon];
        string group = user[(colon + 1)..];
        if (name.Length == 0 || group.Length == 0 || group.Contains(':', StringComparison.Ordinal))
        {
            GuestException.ThrowInvalid("user: user or user:group");
        }

        uint gid = GroupNumber(group);
        return FindByName(name) is { } known ? known with { Gid = gid, Groups = [gid] }
            : TryId(name, out uint uid) ? FindById(uid, gid)
            : throw Unknown("user", name);
    }

    private static GuestException Unknown(string kind, string name) =>
        GuestException.AtStep(StartSteps.User, AgentErrorCodes.UnknownUser, $"no {kind} {name}");

    private uint GroupNumber(string group) => LookUpGroup(group) ?? (TryId(group, out uint number) ? number : throw Unknown("group", group));

    /// <summary>First line of group with this name. name:password:gid:members</summary>
    private uint? LookUpGroup(string name)
    {
        Span<Range> fields = stackalloc Range[5];
        foreach (Range lineRange in _group.AsSpan().Split((byte)'\n'))
        {
            ReadOnlySpan<byte> line = _group.AsSpan()[lineRange];
            if (SplitFields(line, fields) >= 3 && Encoding.UTF8.GetString(line[fields[0]]) == name && TryNumber(line[fields[2]], out uint gid))
            {
                return gid;
            }
        }

        return null;
    }

    private static bool TryNumber(ReadOnlySpan<byte> text, out uint id) =>
        uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out id) && id != uint.MaxValue;

    private static bool TryId(ReadOnlySpan<char> text, out uint id) =>
        uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out id) && id != uint.MaxValue;

    private GuestUser? FindByName(string name) => FindEntry(name, null) is { } entry ? WithGroups(entry) : null;

    private GuestUser FindById(uint uid, uint? gid)
    {
        GuestUser entry = FindEntry(null, uid)
            ?? new GuestUser(uid.ToString(CultureInfo.InvariantCulture), uid, 0, uid == 0 ? "/root" : "/", DefaultShell, []);
        if (uid == 0 && entry.Name == "0")
        {
            entry = entry with { Name = "root" };
        }

        return gid is { } asked ? entry with { Gid = asked, Groups = [asked] } : WithGroups(entry);
    }

    /// <summary>First line of passwd with this name or id. name:password:uid:gid:gecos:home:shell</summary>
    private GuestUser? FindEntry(string? name, uint? uid)
    {
        Span<Range> fields = stackalloc Range[8];
        foreach (Range lineRange in _passwd.AsSpan().Split((byte)'\n'))
        {
            ReadOnlySpan<byte> line = _passwd.AsSpan()[lineRange];
            if (SplitFields(line, fields) < 7
                || !uint.TryParse(line[fields[2]], NumberStyles.None, CultureInfo.InvariantCulture, out uint lineUid)
                || !uint.TryParse(line[fields[3]], NumberStyles.None, CultureInfo.InvariantCulture, out uint lineGid)
                || line[fields[0]].IsEmpty || line.Contains((byte)0))
            {
                continue;
            }

            if (uid is not null ? lineUid == uid : Encoding.UTF8.GetString(line[fields[0]]) == name)
            {
                string home = Encoding.UTF8.GetString(line[fields[5]]);
                string shell = Encoding.UTF8.GetString(line[fields[6]]);
                return new GuestUser(
                    Encoding.UTF8.GetString(line[fields[0]]), lineUid, lineGid,
                    home.Length == 0 ? "/" : home, shell.Length == 0 ? DefaultShell : shell, []);
            }
        }

        return null;
    }

    /// <summary>Adds the groups that list the user as a member. name:password:gid:member,member</summary>
    private GuestUser WithGroups(GuestUser user)
    {
        var groups = new List<uint> { user.Gid };
        byte[] name = Encoding.UTF8.GetBytes(user.Name);
        Span<Range> fields = stackalloc Range[5];
        foreach (Range lineRange in _group.AsSpan().Split((byte)'\n'))
        {
            ReadOnlySpan<byte> line = _group.AsSpan()[lineRange];
            if (groups.Count == MaxGroups)
            {
                break;
            }

            if (SplitFields(line, fields) < 4
                || !uint.TryParse(line[fields[2]], NumberStyles.None, CultureInfo.InvariantCulture, out uint gid)
                || groups.Contains(gid))
            {
                continue;
            }

            ReadOnlySpan<byte> members = line[fields[3]];
            foreach (Range member in members.Split((byte)','))
            {
                if (members[member].SequenceEqual(name))
                {
                    groups.Add(gid);
                    break;
                }
            }
        }

        return user with { Groups = [.. groups] };
    }

    private static int SplitFields(ReadOnlySpan<byte> line, Span<Range> fields)
    {
        int count = 0;
        foreach (Range field in line.Split((byte)':'))
        {
            if (count == fields.Length)
            {
                break;
            }

            fields[count++] = field;
        }

        return count;
    }

    private void Refresh()
    {
        bool changed = Reload(_passwdPath, ref _passwdStamp, ref _passwd);
        changed |= Reload(_groupPath, ref _groupStamp, ref _group);
        if (changed || _known.Count > 1024)
        {
            _userNames = _groupNames = null;
            _known.Clear();
        }
    }

    private static bool Reload(
        ReadOnlySpan<byte> path, ref (ulong Inode, long Modified, ulong Size, uint Device) stamp, ref byte[] content)
    {
        bool exists = Libc.Statx(Linux.AT_FDCWD, path, 0, Linux.STATX_BASIC_STATS, out StatxBuffer stat) == 0
            && (stat.Mode & Linux.S_IFMT) == Linux.S_IFREG;
        (ulong, long, ulong, uint) now = exists
            ? (stat.Inode, (stat.ModifiedSeconds * 1_000_000_000) + stat.ModifiedNanoseconds, stat.Size, stat.DeviceMinor)
            : default;
        if (now == stamp)
        {
            return false;
        }

        stamp = now;
        byte[] buffer = new byte[(int)Math.Min(MaxFile, exists ? stat.Size : 0)];
        int length = buffer.Length == 0 ? 0 : SmallFile.Read(Linux.AT_FDCWD, path, buffer);
        content = length <= 0 ? [] : buffer[..length];
        return true;
    }
}
