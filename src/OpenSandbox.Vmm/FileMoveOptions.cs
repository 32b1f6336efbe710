namespace OpenSandbox.Vmm;

/// <summary>How files are moved and copied. Immutable; every setting has a default.</summary>
public sealed record FileMoveOptions
{
    internal static FileMoveOptions Default { get; } = new();

    /// <summary>Replace a file, or an empty directory by a directory, that is there already. Default: no, that is an error (EEXIST).</summary>
    public bool Overwrite { get; init; }

    /// <summary>Whether missing parent directories of the target are made. Default: yes.</summary>
    public bool CreateParents { get; init; } = true;
}
