namespace OpenSandbox.VirtioSerial;

/// <summary>One file of a <see cref="ReplaceRequest"/>.</summary>
public sealed record ReplaceItem
{
    /// <summary>Absolute path of a regular file; a symbolic link is followed.</summary>
    public required string Path { get; init; }

    /// <summary>The bytes to look for, at least one.</summary>
    public required byte[] Old { get; init; }

    /// <summary>The bytes to put in their place.</summary>
    public required byte[] New { get; init; }
}
