namespace OpenSandbox.Vmm;

/// <summary>In what forks differ from the sandbox that they are made of. Immutable.</summary>
public sealed record ForkOptions
{
    internal static ForkOptions Default { get; } = new();

    /// <summary>Environment of commands, instead of the parent's. Default: the parent's.</summary>
    public IReadOnlyDictionary<string, string>? EnvironmentVariables { get; init; }

    /// <summary>What the metadata service tells, instead of the parent's. Default: the parent's.</summary>
    public IReadOnlyDictionary<string, string>? Metadata { get; init; }

    /// <summary>What the guest may reach, instead of the parent's policy as it is in force. Default: the parent's.</summary>
    public EgressPolicy? Egress { get; init; }

    /// <summary>What their VMs live as long as. Default: as the parent's.</summary>
    public SandboxLifetime? Lifetime { get; init; }

    /// <summary>Labels, instead of the parent's. Default: the parent's.</summary>
    public IReadOnlyDictionary<string, string>? Labels { get; init; }

    /// <summary>Host name. Default: each fork's id.</summary>
    public string? Hostname { get; init; }

    /// <summary>When their time is up, instead of as the parent's; a lifetime counts from when they are made. Default: the parent's.</summary>
    public SandboxExpiry? Expiry { get; init; }

    /// <param name="parent">What the parent is made of.</param>
    /// <param name="inForce">The parent's policy now.</param>
    /// <param name="expiry">The parent's expiry now.</param>
    internal SandboxSpec Apply(SandboxSpec parent, EgressPolicy inForce, SandboxExpiry expiry) => parent with
    {
        Expiry = Expiry ?? expiry,
        EnvironmentVariables = EnvironmentVariables ?? parent.EnvironmentVariables,
        Metadata = Metadata ?? parent.Metadata,
        Egress = Egress ?? inForce,
        Lifetime = Lifetime ?? parent.Lifetime,
        Labels = Labels ?? parent.Labels,
        Hostname = Hostname,
    };
}
