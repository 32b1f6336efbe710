namespace OpenSandbox.Cli.Copying;

/// <summary>Tells which symbolic links of a guest may be made on this machine.</summary>
internal static class LinkTargets
{
    private const int LongestTarget = 4_095;

    /// <summary>
    /// Whether a link stays inside the tree that is copied, whatever other links of the tree are on its way: it is relative, goes up only
    /// at its beginning, and no further than to the tree's root. Going down never leaves the tree, as all links in it are of this kind.
    /// </summary>
    /// <param name="target">Where the link points.</param>
    /// <param name="depth">Directories between the tree's root and the link; 0 for a link in the root.</param>
    internal static bool StayInside(string target, int depth)
    {
        if (target.Length is 0 or > LongestTarget || target[0] == '/' || target.Contains('\0', StringComparison.Ordinal))
        {
            return false;
        }

        bool down = false;
        foreach (string part in target.Split('/'))
        {
            if (part == "..")
            {
                if (down || --depth < 0)
                {
                    return false;
                }
            }
            else if (part is not ("" or "."))
            {
                down = true;
            }
        }

        return true;
    }
}
