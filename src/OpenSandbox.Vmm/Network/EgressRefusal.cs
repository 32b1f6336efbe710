namespace OpenSandbox.Vmm;

/// <summary>Something that a sandbox wanted from the network and did not get. Immutable.</summary>
/// <remarks>Names and addresses are the guest's own words: bounded in length and free of control characters, but chosen by the guest.</remarks>
public sealed record EgressRefusal
{
    /// <summary>Number of the refusal in its sandbox, from 1; a gap between two that were read means that some were lost in between.</summary>
    public required long Sequence { get; init; }

    /// <summary>When, by the host's clock.</summary>
    public required DateTimeOffset Time { get; init; }

    /// <summary>What was refused.</summary>
    public required EgressRefusalKind Kind { get; init; }

    /// <summary>Why.</summary>
    public required EgressRefusalReason Reason { get; init; }

    /// <summary>The address or the name that was asked for; empty where the request could not be read.</summary>
    public required string Target { get; init; }

    /// <summary>The port, for connections; else 0.</summary>
    public int Port { get; init; }

    /// <summary>The names that this sandbox had been told the address for, at most 16. Empty for names.</summary>
    public IReadOnlyList<string> Names { get; init; } = [];

    /// <summary>The rule that decided; <see langword="null"/>: the default action or another reason.</summary>
    public EgressRule? Rule { get; init; }

    /// <summary>More about the reason, such as the guarded range; may be empty.</summary>
    public string Detail { get; init; } = "";
}
