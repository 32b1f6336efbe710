using OpenSandbox.Cli.Keeping;

namespace OpenSandbox.Cli.Copying;

/// <summary>One side of a copy: <c>sb-1a2b3c4d:/path</c> in a sandbox, <c>-</c> for a standard stream, anything else on this machine.</summary>
/// <param name="SandboxId">The sandbox, or <see langword="null"/>.</param>
/// <param name="Path">Absolute in a sandbox.</param>
internal sealed record CopyPath(string? SandboxId, string Path)
{
    /// <summary>Whether it is standard input or output.</summary>
    internal bool IsStandardStream => SandboxId is null && Path == "-";

    /// <summary>Reads what the user wrote. A local file whose name looks like a sandbox's path is written with a <c>./</c> before it.</summary>
    /// <exception cref="UsageException">It is no path.</exception>
    internal static CopyPath Parse(string text)
    {
        int colon = text.IndexOf(':', StringComparison.Ordinal);
        if (colon < 0 || !KeeperDirectory.IsId(text[..colon]))
        {
            return text.Length > 0 ? new CopyPath(null, text) : throw new UsageException("a path to copy is empty");
        }

        string path = text[(colon + 1)..];
        return path.StartsWith('/')
            ? new CopyPath(text[..colon], path)
            : throw new UsageException($"'{text}': the path in a sandbox is absolute, such as {text[..colon]}:/workspace/{path}");
    }

    /// <summary>The last part of a path, or <see langword="null"/> if it stands for what is in a directory: <c>/</c>, <c>dir/.</c>, <c>..</c>.</summary>
    internal static string? NameOf(string path)
    {
        string trimmed = path.TrimEnd('/');
        string name = trimmed[(trimmed.LastIndexOf('/') + 1)..];
        return name is "" or "." or ".." ? null : name;
    }

    /// <summary>A path in a directory.</summary>
    internal static string Join(string directory, string name) => directory.EndsWith('/') ? directory + name : $"{directory}/{name}";
}
