namespace OpenSandbox.VirtioSerial;

/// <summary>Head of a record that the host sends for <see cref="Operations.WriteMany"/>; the content follows it.</summary>
public sealed record ItemHead
{
    /// <summary>How and where the file is written: <see cref="FileRequest.Path"/>, mode, user, group and recursive count.</summary>
    public required FileRequest File { get; init; }
}
