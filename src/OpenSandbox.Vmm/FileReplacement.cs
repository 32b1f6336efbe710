namespace OpenSandbox.Vmm;

/// <summary>Bytes to replace in one file.</summary>
/// <param name="Path">Absolute path of a regular file; a symbolic link is followed.</param>
/// <param name="Old">What to look for, at least one byte, taken literally.</param>
/// <param name="New">What to put in its place.</param>
public sealed record FileReplacement(string Path, ReadOnlyMemory<byte> Old, ReadOnlyMemory<byte> New)
{
    /// <summary>Text to replace in one file, as UTF-8.</summary>
    /// <param name="path">Absolute path of a regular file; a symbolic link is followed.</param>
    /// <param name="oldText">What to look for, not empty, taken literally.</param>
    /// <param name="newText">What to put in its place.</param>
    public FileReplacement(string path, string oldText, string newText)
        : this(path, System.Text.Encoding.UTF8.GetBytes(oldText), System.Text.Encoding.UTF8.GetBytes(newText))
    {
    }
}
