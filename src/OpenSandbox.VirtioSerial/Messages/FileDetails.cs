namespace OpenSandbox.VirtioSerial;

/// <summary>What a description of a file says beyond what every answer says.</summary>
public sealed record FileDetails
{
    /// <summary>Name of the owner in the guest's passwd(5); absent: it has none.</summary>
    public string? User { get; init; }

    /// <summary>Name of the group in the guest's group(5); absent: it has none.</summary>
    public string? Group { get; init; }

    /// <summary>Last access, nanoseconds since the Unix epoch.</summary>
    public long AccessedNanoseconds { get; init; }

    /// <summary>Last change of content or attributes, nanoseconds since the Unix epoch.</summary>
    public long ChangedNanoseconds { get; init; }

    /// <summary>When it was made, nanoseconds since the Unix epoch; absent: the file system does not keep it.</summary>
    public long? CreatedNanoseconds { get; init; }
}
