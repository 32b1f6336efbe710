namespace OpenSandbox.VirtioSerial;

/// <summary>Parameters of <see cref="Operations.Move"/> and <see cref="Operations.Copy"/>.</summary>
public sealed record MoveRequest
{
    /// <summary>Absolute path of what is moved; a symbolic link is moved itself.</summary>
    public required string From { get; init; }

    /// <summary>Absolute path that it gets.</summary>
    public required string To { get; init; }

    /// <summary>Replace what is there already, as rename(2) does.</summary>
    public bool Overwrite { get; init; }

    /// <summary>Make missing parents of <see cref="To"/>.</summary>
    public bool Parents { get; init; }
}
