namespace OpenSandbox.Vmm;

/// <summary>How a file is written. Immutable; every setting has a default.</summary>
public sealed record FileWriteOptions
{
    internal static FileWriteOptions Default { get; } = new();

    /// <summary>Permission bits, 0 to 4095 (octal 7777). Default: those of the file that is replaced, else 0644.</summary>
    public int? Mode { get; init; }

    /// <summary>Owner, as name or <c>uid[:gid]</c>. Default: that of the file that is replaced, else <c>sandbox</c> or root.</summary>
    public string? User { get; init; }

    /// <summary>Group, as name or number. Default: that of <see cref="User"/>, or of the file that is replaced.</summary>
    public string? Group { get; init; }

    /// <summary>Whether missing parent directories are made. Default: yes.</summary>
    public bool CreateParents { get; init; } = true;
}
