namespace OpenSandbox.VirtioSerial;

/// <summary>Payload of a Started frame.</summary>
public sealed record StartedReply
{
    /// <summary>Process id in the guest, of a command.</summary>
    public int? Pid { get; init; }

    /// <summary>Of a managed process.</summary>
    public ProcessAttached? Process { get; init; }

    /// <summary>What a read will send, of a file.</summary>
    public FileEntry? File { get; init; }
}
