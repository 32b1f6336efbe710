namespace OpenSandbox.VirtioSerial;

/// <summary>What the metadata service in the guest says about the sandbox.</summary>
public sealed record SandboxDescription
{
    /// <summary>The sandbox's id.</summary>
    public required string SandboxId { get; init; }

    /// <summary>Entries of <c>/v1/metadata</c>, at most 66 and 20 KiB of text.</summary>
    public Dictionary<string, string>? Metadata { get; init; }
}
