namespace OpenSandbox.Vmm.Isolation;

/// <summary>One mount of a cgroup hierarchy, as <c>/proc/self/mountinfo</c> has it (proc(5)).</summary>
/// <param name="IsUnified">Whether it is cgroup v2.</param>
/// <param name="Controllers">Controllers of a v1 hierarchy, as its options name them; empty for v2.</param>
/// <param name="Root">Which cgroup of the hierarchy is seen at the mount point.</param>
/// <param name="MountPoint">Where.</param>
internal sealed record CgroupMount(bool IsUnified, IReadOnlyList<string> Controllers, string Root, string MountPoint)
{
    /// <summary>Finds all of them.</summary>
    internal static List<CgroupMount> Parse(string mountInfo)
    {
        const int root = 3, mountPoint = 4, afterSeparator = 3;
        var mounts = new List<CgroupMount>();
        foreach (string line in mountInfo.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            // "31 23 0:26 /docker/1 /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory"
            string[] fields = line.Split(' ');
            int separator = Array.IndexOf(fields, "-");
            if (separator <= mountPoint || fields.Length <= separator + afterSeparator)
            {
                continue;
            }

            string type = fields[separator + 1];
            if (type is "cgroup" or "cgroup2")
            {
                mounts.Add(new CgroupMount(
                    type == "cgroup2",
                    type == "cgroup2" ? [] : fields[separator + afterSeparator].Split(','),
                    Unescape(fields[root]),
                    Unescape(fields[mountPoint])));
            }
        }

        return mounts;
    }

    /// <summary>Where this process's own cgroup of the hierarchy is to be seen; null if the mount does not show it.</summary>
    /// <param name="ownCgroups">The text of <c>/proc/self/cgroup</c>.</param>
    internal string? FindOwn(string ownCgroups)
    {
        const int parts = 3;
        foreach (string line in ownCgroups.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            // "4:memory:/user.slice", "0::/user.slice": the path may have colons.
            string[] fields = line.Split(':', parts);
            if (fields.Length < parts || !fields[2].StartsWith('/'))
            {
                continue;
            }

            bool isThis = IsUnified
                ? fields[0] == "0" && fields[1].Length == 0
                : fields[1].Length > 0 && fields[1].Split(',').All(Controllers.Contains);
            if (isThis)
            {
                return Locate(fields[2]);
            }
        }

        return null;
    }

    private string? Locate(string path)
    {
        // Above its namespace's root it is shown as "/..".
        if (path.Split('/').Contains("..", StringComparer.Ordinal))
        {
            return null;
        }

        // A container sees a part of the hierarchy at the mount point; without a cgroup namespace its paths are the host's.
        string rest = Root == "/" ? path
            : path == Root ? ""
            : path.StartsWith(Root + "/", StringComparison.Ordinal) ? path[Root.Length..]
            : path;
        return rest.Trim('/').Length == 0 ? MountPoint : $"{MountPoint}/{rest.Trim('/')}";
    }

    private static string Unescape(string field)
    {
        const int escapeLength = 4;
        if (!field.Contains('\\', StringComparison.Ordinal))
        {
            return field;
        }

        var text = new System.Text.StringBuilder(field.Length);
        for (int i = 0; i < field.Length; i++)
        {
            if (field[i] == '\\' && i + escapeLength <= field.Length && field[(i + 1)..(i + escapeLength)].All(static c => c is >= '0' and <= '7'))
            {
                text.Append((char)Convert.ToInt32(field[(i + 1)..(i + escapeLength)], 8));
                i += escapeLength - 1;
            }
            else
            {
                text.Append(field[i]);
            }
        }

        return text.ToString();
    }
}
